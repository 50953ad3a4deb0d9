"""Run the example site temporarily on a real server, on a free local port, and its Celery worker."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
START_SECONDS = 120
STOP_SECONDS = 60

COMMANDS = {
    "gunicorn": (
        "gunicorn",
        "--config=example_project/gunicorn_conf.py",
        "--bind={host}:{port}",
        "example_project.wsgi",
    ),
    "uvicorn": (
        "uvicorn",
        *("--workers=2", "--timeout-keep-alive=60", "--timeout-worker-healthcheck=120", "--log-level=warning"),
        *("--host={host}", "--port={port}"),
        "example_project.asgi:application",
    ),
}
# There is only one worker, so it need not look for others.
WORKER = (
    *("celery", "--app=example_project", "worker", "--concurrency=1", "--loglevel=WARNING"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
)


class ServerError(Exception):
    """The server did not start; the message includes the end of its log."""


def manage(python: str, environment: Mapping[str, str], *arguments: str, **options: object) -> str:
    """Run a management command of the example site, and return its output."""
    command = [python, str(ROOT / "example_project" / "manage.py"), *arguments]
    options = {"stdout": subprocess.PIPE, "text": True, "check": True, **options}
    return subprocess.run(command, cwd=ROOT, env=surroundings(environment), **options).stdout  # type: ignore[call-overload]


def create_database(python: str, environment: Mapping[str, str], login: Sequence[str]) -> None:
    """Migrate the database of the example site, and create a superuser with this name and password."""
    name, password = login
    manage(python, environment, "migrate", "--verbosity=0")
    with_password = {**environment, "DJANGO_SUPERUSER_PASSWORD": password}
    options = ("--noinput", "--verbosity=0", f"--username={name}", "--email=admin@example.org")
    manage(python, with_password, "createsuperuser", *options)


def surroundings(environment: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **environment, "DJANGO_SETTINGS_MODULE": "example_project.settings"}


@contextlib.contextmanager
def serve(
    kind: str, environment: Mapping[str, str], log: Path, python: str = sys.executable
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start gunicorn or uvicorn with two workers, and yield its address and process.

    At the end the server finishes its current requests and stops, even after an error.
    """
    port = free_port()
    command = [part.format(host=HOST, port=port) for part in COMMANDS[kind]]
    with running(command, environment, log, python) as process:
        address = f"http://{HOST}:{port}"
        wait_until_ready(address, process, log)
        yield address, process


def work(
    environment: Mapping[str, str], log: Path, python: str = sys.executable
) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """Start a Celery worker of the site, and yield its process.

    At the end it finishes its current task and stops, even after an error.
    """
    return running(WORKER, environment, log, python)


@contextlib.contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], log: Path, python: str
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, "-m", *command],
            cwd=ROOT,
            env=surroundings(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Its own process group, so that Ctrl-C does not reach it, and all its workers can be killed together.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        stop(process)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            # The site does not count HEAD requests.
            question = urllib.request.Request(address, method="HEAD")
            with urllib.request.urlopen(question, timeout=START_SECONDS):
                return
        except urllib.error.HTTPError as error:
            raise ServerError(f"The home page answers {error.code}.\n{log_end(log)}") from error
        except OSError:
            time.sleep(0.05)
    raise ServerError(f"The server does not answer.\n{log_end(log)}")


def log_end(log: Path, lines: int = 30) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        # Kill the whole group: Ctrl-C may cut the wait short, and workers may outlive a killed master.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
