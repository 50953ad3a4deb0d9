"""German and French: every text is translated, and mails, notifications and pages have no English left in them."""

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import django
import html5lib
import polib
import pytest
from django.contrib.auth.models import User
from django.core import mail, signing
from django.test import Client, override_settings
from django.urls import reverse

from app_metrics import metric
from app_metrics.aggregation.run import aggregate
from app_metrics.models import Annotation, Delivery, Notice, Unsubscription
from app_metrics.models.creation import create_metric, create_metric_set
from app_metrics.notifications.alerts import check_alerts
from app_metrics.notifications.outbox import STOPPED
from app_metrics.reports.content import Share
from app_metrics.reports.recipients import SALT
from app_metrics.reports.rendering import render
from app_metrics.reports.sending import send_reports
from tests.support.paths import PACKAGE
from tests.support.sample_reports import line, milestone, report, summary

LANGUAGES = ("de", "fr")
# A Wednesday.
NOW = datetime(2026, 6, 10, 12, 30, tzinfo=ZoneInfo("Europe/Berlin"))
DAY, WEEK = timedelta(days=1), timedelta(weeks=1)

each_language = pytest.mark.parametrize("language", LANGUAGES)
on_a_site_with_every_page = pytest.mark.urls("tests.support.unsubscribe_urls")


# The catalogues


@cache
def catalogue(language, package=PACKAGE):
    return polib.pofile(str(package / "locale" / language / "LC_MESSAGES" / "django.po"))


def identity(entry):
    return entry.msgctxt, entry.msgid, entry.msgid_plural


def originals(entry):
    return [text for text in (entry.msgid, entry.msgid_plural) if text]


def translations(entry):
    return list(entry.msgstr_plural.values()) or [entry.msgstr]


@each_language
def test_the_catalogue_translates_every_text_and_holds_no_unused_one(language):
    found = catalogue(language)
    assert len(found) > 130
    assert [entry.msgid for entry in found if not entry.translated() or entry.obsolete or entry.fuzzy] == []
    assert [entry.msgid for entry in found if len(translations(entry)) != len(originals(entry))] == []
    assert [entry.msgid for entry in found if entry.occurrences] == []
    assert found.metadata["Language"] == language


@each_language
def test_a_translation_has_the_placeholders_and_the_markup_of_its_original(language):
    for entry in catalogue(language):
        for original, text in zip(originals(entry), translations(entry), strict=True):
            assert pieces(text) == pieces(original)


def pieces(text):
    """Return what a translation must keep: placeholders, percent signs and tags."""
    return sorted(re.findall(r"%\(\w+\)[a-z]|%.|</?\w+>", text))


def test_a_text_is_in_the_catalogue_as_it_is_looked_up():
    """Versions of xgettext differ in whether they decode Python's escapes, so no text may need one."""
    assert [entry.msgid for entry in catalogue("de") if "\\" in entry.msgid] == []


@each_language
def test_punctuation_is_set_as_in_django_s_own_translation(language):
    texts = [text for entry in catalogue(language) for text in translations(entry)]
    assert [text for text in texts if re.search("[\"'“]" if language == "fr" else "[\"'”«»]", text)] == []
    if language == "fr":
        assert [text for text in texts if re.search("(?<!\u00a0)[:;?!»](?!/)|«(?!\u00a0)|(?<!\u00a0)%%", text)] == []


@each_language
def test_texts_that_django_has_too_are_translated_as_django_does(language):
    # Django merges the catalogues of all apps, so a different word would also show on the project's own pages.
    known = defaultdict(set)
    for path in Path(django.__file__).parent.rglob(f"locale/{language}/LC_MESSAGES/django.mo"):
        for entry in polib.mofile(str(path)):
            known[identity(entry)].add(entry.msgstr)
    both = [entry for entry in catalogue(language) if identity(entry) in known]
    assert len(both) > 3
    other = [entry.msgid for entry in both if entry.msgstr not in known[identity(entry)]]
    # Django writes "aujourd'hui" with a straight apostrophe.
    assert other == {"de": [], "fr": ["today"]}[language]


@pytest.mark.skipif(not shutil.which("xgettext"), reason="makemessages needs xgettext, of the package gettext")
def test_the_catalogues_have_the_texts_that_are_marked(tmp_path):
    package = tmp_path / "app_metrics"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "DJANGO", "PYTHON"))}
    locales = [argument for language in LANGUAGES for argument in ("-l", language)]
    command = [sys.executable, "-m", "django", "makemessages", *locales, "--no-location"]
    done = subprocess.run(command, cwd=package, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stderr
    for language in LANGUAGES:
        made = {identity(entry) for entry in catalogue(language, package) if not entry.obsolete}
        assert made == {identity(entry) for entry in catalogue(language)}


@each_language
def test_the_compiled_catalogue_is_that_of_the_text(language):
    text = catalogue(language)
    compiled = polib.mofile(str(PACKAGE / "locale" / language / "LC_MESSAGES" / "django.mo"))
    assert contents(compiled) == contents(text)
    assert compiled.metadata == text.metadata


def contents(found):
    return {identity(entry): translations(entry) for entry in found}


# Visible texts


def words(html):
    """Return the text of a page that readers see or hear, in one line."""
    found = []
    for element in html5lib.parse(html, namespaceHTMLElements=False).iter():
        if isinstance(element.tag, str) and element.tag not in ("script", "style"):
            found += [element.text or "", element.get("aria-label", ""), element.get("title", "")]
            found.append(element.get("value", "") if element.get("type") == "submit" else "")
        found.append(element.tail or "")
    return one_line(" ".join(found))


def one_line(text):
    return " ".join(text.split())


@cache
def pattern(text):
    """Return a regular expression that finds a text as whole words, with any values for its placeholders.

    Return None if the text has no letters of its own.
    """
    text = re.sub("</?strong>", " ", text).replace("%%", "%")
    literal = [one_line(part) for part in re.split(r"%\(\w+\)[sd]", text)]
    found = ".{1,80}?".join(re.escape(part).replace(r"\ ", r"\s+") for part in literal)
    found = found.removeprefix(".{1,80}?").removesuffix(".{1,80}?")
    if not re.search(r"\w", "".join(literal)):
        return None
    initial = found[0]
    if initial.isalpha():
        found = rf"(?<!\w)[{initial}{initial.upper()}]{found[1:]}"
    return re.compile(found + (r"(?!\w)" if found[-1].isalnum() else ""))


def said(entries, text):
    """Return the entries found in an English text; single words may be part of other texts, and are left out."""
    return [entry for entry in entries if any(stands_in(text, each) for each in originals(entry) if is_long(each))]


def is_long(text):
    return len(re.findall(r"\w+", re.sub(r"%\(\w+\)[sd]", "", text))) > 1


def stands_in(text, wanted):
    found = pattern(wanted)
    return found is None or bool(found.search(text))


@cache
def foreign(language):
    """Return patterns of the English originals, by their texts, except words that the language has, too."""
    entries = catalogue(language)
    known = one_line(" | ".join(text for entry in entries for text in translations(entry)))
    wanted = {original: pattern(original) for entry in entries for original in originals(entry)}
    return {original: each for original, each in wanted.items() if each and not each.search(known)}


def assert_translated(language, english, translated, least):
    known = said(catalogue(language), english)
    assert len(known) >= least
    found = [entry for entry in known if any(stands_in(translated, each) for each in translations(entry))]
    assert [entry.msgid for entry in known if entry not in found] == []
    assert len(foreign(language)) > 110
    assert [original for original, each in foreign(language).items() if each.search(translated)] == []


# Reports


@cache
def mails(language):
    """Return report mails that together contain every text a report can have."""
    shares = [Share("plan", "pro", 41), Share("plan", "team", 13)]
    happened = Annotation(text="4.2", at=NOW)
    full = report(
        line(shares=shares),
        line("Jobs", summary(40, 4, 3, 40, 17), (None, None, None), kind="gauge"),
        line("Checkout", summary(4, 12, Decimal("0.1"), 2, 1), (0, 1, 2), kind="timer"),
        line("Export", summary(4), (1, 2, 3), kind="timer"),
        line("Silent", 0, (0, 0, 0)),
        *(line(f"Volume {number}", Decimal("1234.5")) for number in range(200)),
        milestones=[milestone()] * 12,
        annotations=[happened] * 8,
    )
    short = report(line(annotations=[happened]), milestones=[milestone()] * 11, annotations=[happened] * 6)
    long = report(*(line(f"Volume {number}") for number in range(181)))
    weekly = report(line(period="week"), line("Queue", kind="gauge", period="week"), period="week")
    monthly = report(line(period="month"), period="month")
    with override_settings(LANGUAGE_CODE=language):
        return [
            *(render(each) for each in (short, long, weekly, monthly, report(), report(line(now=None)))),
            render(full, stop_url="https://example.org/stop/", dashboard_url="https://example.org/panel/"),
            render(short, contact="team@example.org"),
        ]


@cache
def mailed(language):
    texts = (" | ".join((each.subject, each.text, words(each.html))) for each in mails(language))
    return one_line(" | ".join(texts))


@each_language
def test_a_report_is_in_the_site_s_language_throughout(language):
    assert_translated(language, mailed("en"), mailed(language), least=25)


WORDS = {
    "de": [
        "Montag, 16. November 2026", "Bester Tag", "Donnerstag, 12. November: 45", "+23 %", "neu", "1.234,5",
        "333 ms aus 12 Messungen, zwischen 100 ms und 2 s",
        "Die Marke von 10.000 wurde am Montag, 16. November erreicht (insgesamt 10.021).",
    ],
    "fr": [
        "lundi 16 novembre 2026", "Meilleur jour", "jeudi 12 novembre : 45", "+23 %", "nouveau", "1 234,5",
        "333 ms sur 12 mesures, entre 100 ms et 2 s",
        "le palier de 10 000 a été atteint le lundi 16 novembre (10 021 au total).",
    ],
}  # fmt: skip


@each_language
def test_a_report_has_the_words_the_numbers_and_the_dates_of_its_language(language):
    found = mails(language)[-2]
    assert one_line(found.subject) == {"de": "Shop: ", "fr": "Shop : "}[language] + WORDS[language][0]
    for seen in (one_line(found.text), words(found.html)):
        assert [part for part in WORDS[language] if part not in seen] == []
        assert not re.search(r"1,234|16 November|Monday", seen)
    html = words(found.html)
    assert {"de": "Vortag +23 % (+23, besser) Vorwoche", "fr": "veille +23 % (+23, mieux) semaine préc."}[
        language
    ] in html


@each_language
def test_a_week_and_a_month_are_named_in_the_language(language):
    weekly, monthly = (one_line(mails(language)[index].subject) for index in (2, 3))
    assert (
        weekly
        == {"de": "Shop: Woche 47, 16.–22. November 2026", "fr": "Shop : Semaine 47, 16–22 novembre 2026"}[language]
    )
    assert monthly.endswith({"de": "November 2026", "fr": "novembre 2026"}[language])


# Notifications


def noticed(settings, language):
    """Reach a milestone, let alerts fire and recover, and return the mails about it."""
    settings.LANGUAGE_CODE = language
    slug, team = f"signups-{language}", ["team@example.com"]
    create_metric("Signups", slug)
    settings.APP_METRICS_MILESTONES = {slug: {"at": [1000], "recipients": team}}
    rule = {"metric": slug, "period": "day", "recipients": team, "quiet": 0}
    tests = [{"below": 2000}, {"above": 1000}, {"change": 50}, {"above": 1, "labels": {"plan": "pro"}}]
    tests += [{"above": 1, "period": period} for period in ("hour", "week", "month")]
    settings.APP_METRICS_ALERTS = {f"A{number} {language}": {**rule, **test} for number, test in enumerate(tests)}
    aggregate()
    before = list(Notice.objects.values_list("pk", flat=True))
    for at, number in ((NOW - DAY, 1234), (NOW - timedelta(hours=1), 500), (NOW - timedelta(days=40), 7)):
        metric(slug, number, labels={"plan": "pro"}, at=at)
    metric(slug, 100, at=NOW - DAY - WEEK)
    aggregate()
    done = [check_alerts(NOW), check_alerts(NOW + DAY)]
    assert [each.failed for each in done] == [{}, {}]
    assert [(len(each.fired), len(each.recovered)) for each in done] == [(7, 0), (0, 3)]
    made = Notice.objects.exclude(pk__in=before)
    return one_line(" | ".join(f"{each.subject} | {each.text}" for each in made))


@each_language
@pytest.mark.django_db
def test_notifications_of_milestones_and_alerts_are_in_the_site_s_language(language, settings):
    english = noticed(settings, "en")
    found = noticed(settings, language)
    assert_translated(language, english, found, least=5)
    told = {
        "de": [
            "Meilenstein erreicht: Signups 1.000", "Festgestellt: ", "Signups, Tag vom 9. Juni 2026: 1.234",
            "Stunde vom 10. Juni 2026 11:00: 500", "Änderung um 50 %", "Alarm: A1 de", "Entwarnung: A1 de",
            "Labels: plan=pro",
        ],
        "fr": [
            "Palier atteint : Signups 1 000", "Constaté : ", "Signups, jour du 9 juin 2026 : 1 234",
            "heure du 10 juin 2026 11:00 : 500", "variation de 50 %", "Alerte : A1 fr", "Retour à la normale : A1 fr",
            "Étiquettes : plan=pro",
        ],
    }  # fmt: skip
    assert [part for part in told[language] if part not in found] == []


# Pages


def pages(settings, language, addresses, browser):
    settings.LANGUAGE_CODE = language
    return one_line(" | ".join(words(browser.get(each, follow=True).content.decode()) for each in addresses))


@each_language
@pytest.mark.django_db
@on_a_site_with_every_page
def test_the_page_that_stops_mails_is_in_the_site_s_language(language, settings):
    metric_set = create_metric_set("Growth", [], ["x@example.com"])
    address = reverse("app_metrics:unsubscribe", args=[signing.dumps([metric_set.pk, "x@example.com"], salt=SALT)])
    seen = {}
    for each in ("en", language):
        seen[each] = pages(settings, each, [address, reverse("app_metrics:unsubscribe", args=["no"])], Client())
        seen[each] += " | " + words(Client().post(address).content.decode())
    assert_translated(language, seen["en"], seen[language], least=4)
    assert one_line({"de": "„Growth“", "fr": "«\u00a0Growth\u00a0»"}[language]) in seen[language]


FATES = {"undecided": STOPPED, "skipped": "This report is no longer sent.", "failed": "?", "waiting": "", "sending": ""}


@pytest.fixture
def metric_set(db, settings):
    """A set with deliveries in every status, and a recorded metric."""
    User.objects.create_superuser("ada", "ada@example.com", "secret")
    made = create_metric_set("Growth", [create_metric("Signups", "signups")], ["x@example.com"], send_weekly=True)
    metric("signups", 1234)
    for text in ("4.2", "4.3"):
        Annotation.objects.create(text=text)
    send_reports(force=True)
    Unsubscription.objects.create(metric_set=made, recipient="y@example.com", address="y@example.com")
    delivery = Delivery.objects.latest("pk")
    for status, error in FATES.items():
        delivery.pk, delivery.recipient, delivery.status, delivery.error = None, status, status, error
        delivery.save()
    return made


@pytest.fixture
def browser(metric_set):
    client = Client()
    client.force_login(User.objects.get())
    return client


@each_language
def test_the_admin_s_next_report_is_in_the_site_s_language(language, settings, browser, metric_set):
    settings.DEFAULT_FROM_EMAIL = "team@example.com"
    seen = {}
    for each in ("en", language):
        addresses = [report_page(metric_set, name, period) for name in ("report", "mail") for period in ("day", "week")]
        seen[each] = pages(settings, each, addresses, browser)
        for address in ("ada@example.com", ""):
            User.objects.update(email=address)
            response = browser.post(report_page(metric_set, "test", "day"), follow=True)
            seen[each] += " | " + words(response.content.decode())
    assert_translated(language, seen["en"], seen[language], least=12)
    assert len(mail.outbox) >= 2


def report_page(metric_set, name, period):
    return reverse(f"admin:app_metrics_metricset_{name}", args=[metric_set.pk, period])


@each_language
def test_the_admin_s_other_pages_are_in_the_site_s_language(language, settings, browser, metric_set):
    models = (
        "metric", "total", "item", "quarantineditem", "aggregationrun", "metricset", "delivery", "unsubscription",
        "milestone", "alert", "notice", "annotation",
    )  # fmt: skip
    addresses = [reverse(f"admin:app_metrics_{model}_changelist") for model in models]
    addresses += [reverse(f"admin:app_metrics_{model}_add") for model in ("metric", "metricset", "annotation")]
    addresses.append(reverse("admin:app_metrics_metricset_change", args=[metric_set.pk]))
    addresses += [reverse("admin:app_metrics_delivery_change", args=[each.pk]) for each in Delivery.objects.all()[:1]]
    seen = {each: pages(settings, each, addresses, browser) for each in ("en", language)}
    assert_translated(language, seen["en"], seen[language], least=28)


@each_language
def test_the_dashboard_is_in_the_site_s_language(language, settings, browser, metric_set):
    slug = metric_set.metrics.first().slug
    addresses = [reverse(f"admin:app_metrics_dashboard_{page}") for page in ("changelist", "health", "unused")]
    addresses += [
        reverse("admin:app_metrics_dashboard_metric", args=[slug]) + query
        for query in ("", "?end=2026-06-01&start=2026-07-01")
    ]
    seen = {each: pages(settings, each, addresses, browser) for each in ("en", language)}
    assert_translated(language, seen["en"], seen[language], least=40)
