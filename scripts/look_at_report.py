"""Write a sample report as text and HTML, and take screenshots of the HTML: narrow and wide, light and dark.

    python scripts/look_at_report.py FOLDER [--period week] [--language de] [--metrics 60] [--validate vnu.jar]

It needs the package, and css-inline to inline the styles as for mail. `--chromium` names the browser; `--validate`
needs Java.
"""

import argparse
import html as markup
import random
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch
from zoneinfo import ZoneInfo

import django
from django.conf import settings

ROOT = Path(__file__).resolve().parent.parent
DAY = date(2026, 11, 16)
ZONE = ZoneInfo("Europe/Berlin")
WIDTHS, SCHEMES = (320, 800), {"light": 1, "dark": 0}
# Chromium with a private profile and no network access.
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--hide-scrollbars",
)  # fmt: skip
# A window is at least about 500 pixels wide, so show a narrow mail in a frame, which reports its height and width.
FRAME = """<!DOCTYPE html><html lang="en" style="color-scheme: {scheme}"><title>loading</title>
<body style="margin: 0"><iframe style="border: 0; width: {width}px; height: 500px" srcdoc="{mail}" onload="
const page = this.contentDocument.documentElement;
document.title = page.scrollWidth + 'x' + page.scrollHeight + ' '
    + this.contentWindow.matchMedia('(prefers-color-scheme: dark)').matches;
this.style.height = page.scrollHeight + 'px';"></iframe></body></html>"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--period", choices=("day", "week", "month"), default="day")
    parser.add_argument("--language", default="en")
    parser.add_argument("--metrics", type=int, default=0, help="how many further metrics there are")
    parser.add_argument("--validate", type=Path, help="the vnu.jar of the Nu validator")
    parser.add_argument("--chromium", default="chromium")
    options = parser.parse_args()
    options.folder = options.folder.resolve()  # file URIs need absolute paths
    options.folder.mkdir(parents=True, exist_ok=True)
    configure(options.language)

    report = sample(options.period, options.metrics)
    mail = written(report)
    (options.folder / "report.txt").write_text(mail.text)
    page, plain = options.folder / "report.html", options.folder / "report-not-inlined.html"
    page.write_text(mail.html)
    with patch.dict(sys.modules, {"css_inline": None}):
        plain.write_text(written(report).html)
    print(mail.subject, f"\n\n{mail.text}\n{len(mail.html.encode())} bytes of HTML")
    if options.validate:
        validate(options.validate, page, plain)
    if shutil.which(options.chromium):
        photograph(options.chromium, mail.html, options.folder)
    else:
        print(f"No pictures: there is no {options.chromium!r}.")


def configure(language: str) -> None:
    """Set Django up with an in-memory database."""
    sys.path.insert(0, str(ROOT))
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "app_metrics"],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
        LANGUAGE_CODE=language,
        TIME_ZONE=ZONE.key,
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def sample(period: str, further: int):
    """Return a report on a shop's metrics; some are labelled, new, falling, negative or silent."""
    from app_metrics import collect
    from app_metrics.models import Milestone
    from app_metrics.models.creation import create_metric, create_metric_set
    from app_metrics.reports.content import build_report

    shop = [
        create_metric("Signups", "signups"),
        create_metric("Revenue", "revenue", unit="EUR"),
        create_metric("Checkout", "checkout", "timer"),
        create_metric("Waiting jobs", "jobs", "gauge"),
        create_metric("Gift cards sold", "gifts"),
        create_metric("Newsletter cancellations and other goodbyes of our readers", "goodbyes"),
        create_metric("Balance of stock movements", "stock", unit="books"),
        create_metric("Refunds", "refunds"),
        create_metric("Export of the yearly accounts", "export", "timer"),
    ]
    shop += [create_metric(f"Downloads of volume {number}", f"volume-{number}") for number in range(1, further + 1)]
    with collect():
        record_shop(random.Random(7), further)
    reached_at = datetime.combine(DAY, time(14, 32), ZONE)
    milestone = Milestone.objects.create(slug="signups", value=10_000, total=10_021, reached_at=reached_at)
    return build_report(create_metric_set("Harbour Books", shop), period, DAY, [milestone])


def written(report):
    """Return a report as an email."""
    from app_metrics.reports.rendering import render

    return render(
        report,
        stop_url="https://books.example.org/metrics/stop/eyJzZXQiOjF9:1vKx/",
        dashboard_url="https://books.example.org/metrics/",
    )


def record_shop(chance: random.Random, further: int) -> None:
    """Record events on all days that a report on the sample day may cover."""
    from app_metrics import gauge, metric
    from app_metrics.core.summary import TIMER
    from app_metrics.recording.metrics import record

    for back in range(800):
        day = DAY + timedelta(days=14 - back)
        at = datetime.combine(day, time(12, 30), ZONE)
        busy = (0.6 if day.isoweekday() > 5 else 1) * chance.uniform(0.8, 1.2) * (1 - back / 1600)
        for plan, share in (("free", 50), ("pro", 18), ("team", 6)):
            for country, part in (("DE", 0.5), ("FR", 0.3), ("AT", 0.15)):
                labels = {"plan": plan, "country": country}
                metric("signups", int(share * part * busy * 3), labels=labels, at=at)
        metric("revenue", Decimal(int(busy * 412_345)) / 100, at=at)
        for _ in range(3):
            record("checkout", TIMER, chance.uniform(0.12, 0.9) / busy, at=at)
        gauge("jobs", int(17 * busy * chance.uniform(0.2, 2)), at=at)
        metric("goodbyes", int(20 / busy) + max(0, back - 14), at=at)
        metric("stock", int(300 * chance.uniform(-1, 1)), at=at)
        if day == DAY:
            metric("gifts", 12, at=at)
            record("export", TIMER, 4127.5, at=at)
        for number in range(1, further + 1):
            metric(f"volume-{number}", int(number * busy * 3), at=at)


def validate(jar: Path, *pages: Path) -> None:
    """Check pages with the Nu validator."""
    command = ["java", "-jar", str(jar), *map(str, pages)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print("Nu validator:", done.stderr.strip() or "no error and no warning")


def photograph(chromium: str, mail: str, folder: Path) -> None:
    """Take a screenshot of each width and scheme, and report pages that overflow."""
    for width in WIDTHS:
        for scheme, number in SCHEMES.items():
            frame = folder / f"frame-{width}-{scheme}.html"
            frame.write_text(FRAME.format(width=width, scheme=scheme, mail=markup.escape(mail)))
            look = (f"--blink-settings=preferredColorScheme={number}", "--virtual-time-budget=3000")
            tree = browse(chromium, *look, f"--window-size={max(width, 500)},800", "--dump-dom", frame.as_uri())
            found = re.search(r"<title>(\d+)x(\d+) (true|false)</title>", tree)
            if not found:
                raise SystemExit(f"Chromium did not show {frame}.")
            wide, high, is_dark = int(found[1]), int(found[2]), found[3] == "true"
            picture = folder / f"report-{width}-{scheme}.png"
            size = f"--window-size={max(width, 500)},{high + 10}"
            browse(chromium, *look, size, f"--screenshot={picture}", frame.as_uri())
            frame.unlink()
            said = "fits" if wide <= width else f"is {wide} px wide: TOO WIDE"
            print(f"{picture.name}: {said}, {'dark' if is_dark else 'light'}")


def browse(chromium: str, *arguments: str) -> str:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [chromium, *QUIET, f"--user-data-dir={profile}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


if __name__ == "__main__":
    main()
