"""A report as a mail: its contents, language and maximum size."""

import os
import sys
from datetime import date, timedelta
from decimal import Decimal

import html5lib
import pytest
from django.utils import timezone, translation

from app_metrics import collect, metric
from app_metrics.core.calendar import today
from app_metrics.models.creation import create_metric, create_metric_set
from app_metrics.reports.content import ReportPoint, Share, build_report
from app_metrics.reports.rendering import MAX_HTML_BYTES, MOST_MILESTONES, render
from tests.support.sample_reports import DAY, labelled, line, milestone, report, summary

STOP, DASHBOARD = "https://example.org/stop/x?a=1&b=2", "https://example.org/metrics/"


def blank(text):
    return text.replace("\u00a0", " ")


def words(html):
    """Return the visible text of a page."""
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)
    return " ".join(blank(" ".join(_texts(tree.find("body")))).split())


def _texts(element):
    if isinstance(element.tag, str):  # the tag of a comment is a function
        yield element.text or ""
        for child in element:
            yield from _texts(child)
            yield child.tail or ""


def test_a_built_report_becomes_a_mail(database):
    signups = create_metric("Signups")
    yesterday = today() - timedelta(days=1)
    with collect():
        metric("signups", 1234, labels={"plan": "pro"}, at=_noon(yesterday))
        metric("signups", 1000, at=_noon(yesterday - timedelta(days=1)))
    mail = render(build_report(create_metric_set("Shop", [signups]), "day", yesterday), stop_url=STOP)
    assert mail.subject.startswith("Shop: ")
    for said in (blank(mail.text), words(mail.html)):
        assert "1,234" in said
        assert "+23 %" in said
        assert "pro 1,234" in said


def _noon(day):
    return timezone.make_aware(timezone.datetime(day.year, day.month, day.day, 12))


def test_the_subject_names_the_set_and_the_period():
    assert render(report(line(), name="Books & Co")).subject == "Books & Co: Monday, 16 November 2026"
    weekly = report(line(period="week"), period="week")
    assert render(weekly).subject == "Shop: Week 47, 16–22 November 2026"


def test_a_mail_is_in_the_language_of_the_site(settings):
    settings.LANGUAGE_CODE = "de"
    with translation.override("fr"):
        mail = render(report(line(now=Decimal("1234.5"))))
        assert translation.get_language() == "fr"
    assert mail.subject.endswith("Montag, 16. November 2026")
    assert "1.234,5" in mail.text
    assert "1.234,5" in words(mail.html)
    assert '<html lang="de" dir="ltr"' in mail.html


def test_a_mail_in_a_language_from_right_to_left_says_so(settings):
    settings.LANGUAGE_CODE = "he"
    html = render(report(line())).html
    assert '<html lang="he" dir="rtl"' in html
    assert "text-align: right" not in html


def test_the_text_says_every_figure_of_the_report():
    text = blank(
        render(
            report(
                line("Revenue", Decimal("3481.36"), (2500, 3595, Decimal("2715.75")), unit="EUR"),
                line(
                    "Checkout",
                    summary(Decimal("1.2"), 3, Decimal("0.371"), Decimal("1.947")),
                    (summary(Decimal("0.8")), None, None),
                    kind="timer",
                    extremes=(ReportPoint(DAY, Decimal("1.3")), ReportPoint(DAY - timedelta(days=7), Decimal("0.303"))),
                ),
                line("Jobs", summary(40, 4, 3, 40, 17), (summary(20), None, None), kind="gauge", extremes=(None, None)),
                line("Signups", 172, (123, 180, 0), shares=[Share("plan", "pro", 41), Share("plan", "team", 13)]),
                milestones=[milestone()],
            ),
            stop_url=STOP,
            dashboard_url=DASHBOARD,
        ).text
    )
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    assert paragraphs[0] == "Shop Monday, 16 November 2026"
    assert paragraphs[1] == "* Signups reached 10,000 on Monday, 16 November (10,021 in all)."
    assert paragraphs[2] == (
        "day week year before before before "
        "Revenue 3,481.36 EUR +39 % −3.2 % +28 % ▃▂▄▂▅█▃▆▅▃▅▇█▆ "
        "Best day: Thursday, 12 November: 45 EUR Worst day: Sunday, 8 November: 3 EUR"
    )
    assert paragraphs[3] == (
        "Checkout 400 ms −50 % new new ▃▂▄▂▅█▃▆▅▃▅▇█▆ "
        "Mean: 400 ms from 3 measurements, between 371 ms and 1.95 s "
        "Best day: Monday, 9 November: 303 ms Worst day: Monday, 16 November: 1.3 s"
    )
    assert paragraphs[4] == "Jobs 17 −15 % new new ▃▂▄▂▅█▃▆▅▃▅▇█▆ Last value: 17, between 3 and 40"
    assert paragraphs[5].startswith("Signups 172 +40 % −4.4 % new")
    assert paragraphs[5].endswith("plan: pro 41 · team 13")
    assert paragraphs[6] == f"Dashboard: {DASHBOARD} Stop these mails: {STOP}"
    assert len(paragraphs) == 7


@pytest.mark.parametrize(
    ("better", "extremes"),
    [
        ("up", "Best day: Thursday, 12 November: 45 Worst day: Sunday, 8 November: 3"),
        ("down", "Best day: Sunday, 8 November: 3 Worst day: Thursday, 12 November: 45"),
        ("neither", "Highest: Thursday, 12 November: 45 Lowest: Sunday, 8 November: 3"),
    ],
)
def test_the_best_day_is_the_one_that_the_metric_calls_better(better, extremes):
    shown = line()
    shown.metric.better = better
    assert extremes in " ".join(blank(render(report(shown)).text).split())


@pytest.mark.parametrize(
    ("better", "first", "second"), [("up", "better", "worse"), ("down", "worse", "better"), ("neither", "", "")]
)
def test_a_word_says_what_the_colour_of_a_change_says(better, first, second):
    shown = line(now=172, thens=(123, 180, 0))
    shown.metric.better = better
    said = words(render(report(shown)).html)
    end = f", {first}" if first else ""
    assert f"+40 % (+49{end})" in said
    assert f"−4.4 % (−8{end and f', {second}'})" in said


def test_the_word_also_stands_in_the_short_lines_of_further_metrics():
    said = words(render(report(*(line(f"Metric {number}") for number in range(40)))).html)
    assert "Metric 39 123 +23 % better" in said


def test_shares_have_cents_if_one_of_them_has():
    shares = [Share("plan", "pro", Decimal("50.5")), Share("plan", "team", 41)]
    assert (
        "plan: pro\N{NO-BREAK SPACE}50.50 · team\N{NO-BREAK SPACE}41.00"
        in render(report(line("Revenue", 91, shares=shares))).text
    )


def test_the_html_shows_the_figures_of_the_text_and_absolute_changes():
    checkout = line(
        "Checkout",
        summary(Decimal("1.2"), 3, Decimal("0.371"), Decimal("1.947")),
        (summary(Decimal("0.8")), None, None),
        kind="timer",
    )
    said = words(render(report(checkout, line(now=172, thens=(123, 180, 0)), milestones=[milestone()])).html)
    assert "★ Signups reached 10,000 on Monday, 16 November (10,021 in all)." in said
    assert "Checkout 400 ms mean day before −50 % (−400 ms, better) week before new year before new" in said
    assert "Mean 400 ms from 3 measurements, between 371 ms and 1.95 s" in said
    assert "Signups 172 day before +40 % (+49, better) week before −4.4 % (−8, worse) year before new (+172)" in said
    assert "Best day Thursday, 12 November: 45" in said
    assert "3 November 16 November" in said


def test_one_measurement_has_no_range():
    text = blank(render(report(line("Export", summary(Decimal("0.38")), (None,) * 3, kind="timer"))).text)
    assert "Mean: 380 ms from 1 measurement\n" in text


def test_a_weekly_report_compares_with_the_week_and_the_year_before():
    mail = render(report(line(period="week", thens=(100, 50)), period="week"))
    assert "day before" not in words(mail.html)
    assert "week before +23 % (+23, better) year before +146 % (+73, better)" in words(mail.html)
    assert [each.split() for each in mail.text.split("\n")[3:5]] == [["week", "year"], ["before", "before"]]
    monthly = render(report(line(period="month", start=date(2026, 11, 1)), period="month", start=date(2026, 11, 1)))
    assert "month before +23 % (+23, better) year before" in words(monthly.html)
    assert "December 2025 November 2026" in words(monthly.html)


def test_the_columns_of_the_text_line_up():
    names = ["A", "登録数", "Cafe\u0301s", "A name that is much longer than there is room for in one line"]
    text = render(report(*(line(name, 10 ** (3 * index)) for index, name in enumerate(names)))).text
    tables = [each for each in text.split("\n") if each.endswith("▆")]
    assert len(tables) == 4
    assert len({_width(each.rpartition("  ")[0]) for each in tables}) == 1
    assert max(map(_width, text.split("\n"))) <= 80


def _width(text):
    return sum(0 if each == "\u0301" else 2 if each in "登録数" else 1 for each in text)


def test_sparklines_move_below_columns_that_fill_the_line():
    text = render(report(line("Signups", 10**38 - 1, (10**20,) * 3), line("Downloads", 5))).text
    assert [each for each in text.split("\n") if "▃" in each] == ["    ▃▂▄▂▅█▃▆▅▃▅▇█▆"] * 2


def test_long_lines_of_the_text_are_wrapped():
    shares = [Share("country", f"country number {number}", 1000) for number in range(5)]
    text = render(report(line("Jobs", shares=shares), milestones=[milestone("x" * 70)])).text
    assert all(_width(each) <= 80 for each in text.split("\n"))
    assert "\n    reached 10,000 on Monday" in text
    assert "\n      2\u00a01,000 · country number 3\u00a01,000 · " in text


def test_a_set_without_metrics_says_so():
    mail = render(report(), contact="ops@example.org")
    for said in (mail.text, words(mail.html)):
        assert "This set has no metrics yet." in said
        assert "Nothing was recorded." not in said


def test_an_empty_period_says_so():
    mail = render(report(line(now=None, thens=(7, None, None))))
    for said in (blank(mail.text), words(mail.html)):
        assert "Nothing was recorded." in said
        assert "−100 %" in said
    assert "Nothing was recorded." not in render(report(line())).text


def test_a_mail_says_how_to_stop_it():
    by_link = render(report(line()), stop_url=STOP)
    assert f"Stop these mails: {STOP}" in by_link.text
    assert 'href="https://example.org/stop/x?a=1&amp;b=2"' in by_link.html
    by_writing = render(report(line()), contact="ops@example.org")
    for said in (by_writing.text, words(by_writing.html)):
        assert "To stop these mails, write to ops@example.org." in said
    assert "To stop these mails, write to the people who run this site." in render(report(line())).text


def test_only_a_mail_with_a_dashboard_links_to_it():
    assert "<a " not in render(report(line())).html
    assert "Dashboard" not in render(report(line())).text
    assert f'href="{DASHBOARD}"' in render(report(line()), dashboard_url=DASHBOARD).html


def test_a_line_break_in_a_name_stays_out_of_the_subject_and_the_columns():
    evil = "Sales\r\n\r\nBcc: a@b.org"
    mail = render(
        report(
            line(evil, unit="EUR\r\n", shares=[Share("pl\nan", "p\r\nro", 3)]), name=evil, milestones=[milestone(evil)]
        )
    )
    assert mail.subject == "Sales Bcc: a@b.org: Monday, 16 November 2026"
    assert "\r" not in mail.text
    assert not any(each.startswith("Bcc") for each in mail.text.split("\n"))
    assert "    pl an: p ro 3" in blank(mail.text)


def test_a_name_with_markup_is_inert():
    evil = "<script>alert(1)</script><!-- {{ x }} \"'& \x00\ufffe"
    mail = render(report(line(evil, unit=evil, shares=[Share(evil, evil, 3)]), name=evil, milestones=[milestone(evil)]))
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(mail.html)
    assert not list(tree.iter("script"))
    assert mail.html.count("&lt;script") >= 6
    assert mail.text.startswith("<script>alert(1)</script><!-- {{ x }} \"'&\n")


@pytest.mark.parametrize("metrics", [1, 30, 100, pytest.param(1000, marks=pytest.mark.slow)])
def test_the_page_is_bounded_for_any_number_of_metrics_and_the_text_has_all(metrics):
    lines = [labelled(number) for number in range(metrics)]
    mail = render(report(*lines, milestones=[milestone()] * metrics), dashboard_url=DASHBOARD)
    assert len(mail.html.encode()) <= 100_000 == MAX_HTML_BYTES
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(mail.html)
    detailed = len(list(tree.iter("h2")))
    compact = mail.html.count("amount")
    said = words(mail.html)
    assert detailed == metrics if metrics == 1 else 5 <= detailed < metrics
    assert (f"… and {metrics - detailed - compact} more metrics. See all" in said) == (detailed + compact < metrics)
    assert (f"… and {metrics - MOST_MILESTONES} more milestones." in said) == (metrics > MOST_MILESTONES)
    assert sum(each.startswith("Metric ") for each in mail.text.split("\n")) == metrics
    assert mail.text.count("reached 10,000") == metrics


def test_the_page_is_bounded_for_the_longest_names():
    lines = [line("登" * 200, unit="登" * 30, shares=[Share("登" * 100, "登" * 100, 10**29)] * 40) for _ in range(40)]
    assert len(render(report(*lines)).html.encode()) <= MAX_HTML_BYTES


def test_a_long_mail_uses_most_of_the_allowed_size():
    size = len(render(report(*(labelled(number) for number in range(300)))).html.encode())
    assert size > 70_000


def test_a_long_mail_without_a_dashboard_refers_to_its_text_version():
    html = render(report(*(labelled(number) for number in range(1000)))).html
    assert "The plain-text version of this mail lists all metrics." in words(html)


def test_styles_are_inlined_if_css_inline_is_installed(monkeypatch):
    tree = html5lib.HTMLParser(namespaceHTMLElements=False).parse(render(report(line())).html)
    assert len(list(tree.iter("style"))) == 1
    assert "max-width: 640px" in tree.find(".//table[@class='card']").get("style")
    monkeypatch.setitem(sys.modules, "css_inline", None)
    tree = html5lib.HTMLParser(namespaceHTMLElements=False).parse(render(report(line())).html)
    assert len(list(tree.iter("style"))) == 2
    assert tree.find(".//table[@class='card']").get("style") is None


def test_milestones_carry_the_date_of_the_metrics_time_zone(settings):
    settings.APP_METRICS_TIME_ZONE = "Pacific/Auckland"
    with timezone.override("America/New_York"):
        assert "on Tuesday, 17 November" in render(report(line(), milestones=[milestone()])).text


def test_a_projects_own_template_takes_precedence(settings, tmp_path):
    (tmp_path / "app_metrics").mkdir()
    (tmp_path / "app_metrics" / "report.txt").write_text("{{ report.metric_set }}: {{ report.lines|length }}")
    (tmp_path / "app_metrics" / "report.html").write_text("<!DOCTYPE html><title>Own</title>" + "x" * 200_000)
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [os.fspath(tmp_path)]}]
    mail = render(report(line()))
    assert mail.text == "Shop: 1\n"
    assert "<title>Own</title>" in mail.html
    assert mail.subject.startswith("Shop")
