"""Try the installed package in a fresh project, as README.md says: check, migrate, and count a request.

Run it with the Python of an environment that has django-app-metrics and nothing else: ``python fresh_project.py``.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
RULE = 'APP_METRICS_URLS = {"admin:login": "login_pages"}\n'
REQUEST = """
import threading, urllib.request
from wsgiref.simple_server import make_server
from mysite.wsgi import application

with make_server("127.0.0.1", 0, application) as server:
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/admin/login/").read()
    thread.join()
"""
RESULT = """
import sys, app_metrics, django
from app_metrics.models import Metric
print(app_metrics.__file__)
print(Metric.objects.get(slug="login_pages").total("day"))
print(f"Python {sys.version.split()[0]}, Django {django.__version__}")
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(folder, "-m", "django", "startproject", "mysite", ".")
        with Path(folder, "mysite", "settings.py").open("a") as settings:
            settings.write(installation() + RULE)
        manage(folder, "check", "--fail-level=WARNING")
        manage(folder, "migrate", "--verbosity=0")
        run(folder, "-c", REQUEST)
        manage(folder, "metrics_aggregate")
        file, total, versions = manage(folder, "shell", "--verbosity=0", "--command", RESULT).splitlines()
    if not Path(file).is_relative_to(sys.prefix):
        sys.exit(f"This is not the installed package: {file}")
    if total != "1":
        sys.exit(f"One request was counted as {total}.")
    print(f"{versions}: checked, migrated, one request counted.")


def installation() -> str:
    """Return the settings with which README.md installs the package."""
    section = README.read_text().partition("## Install\n")[2]
    block, *_ = re.findall(r"^```python\n(.*?)^```", section.partition("\n## ")[0], re.DOTALL | re.MULTILINE)
    return str(block)


def manage(folder: str, *arguments: str) -> str:
    return run(folder, "manage.py", *arguments)


def run(folder: str, *arguments: str) -> str:
    """Run this Python in a folder, without the variables that would let it find another package or settings."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DJANGO", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
