"""`metrics_annotate`: an annotation from a shell, such as that of a deployment."""

from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from freezegun import freeze_time

from app_metrics.models import Annotation

NOON = datetime(2026, 11, 23, 11, tzinfo=UTC)


def annotate(*arguments, **options):
    out = StringIO()
    call_command("metrics_annotate", *arguments, stdout=out, **options)
    return out.getvalue()


@freeze_time(NOON)
def test_an_annotation_is_about_all_metrics_now(database):
    assert annotate("Release 4.2") == "Annotated 2026-11-23 12:00: Release 4.2\n"
    made = Annotation.objects.get()
    assert (made.text, made.moment, made.url, made.metric) == ("Release 4.2", NOON, "", None)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-23T09:00", datetime(2026, 11, 23, 8, tzinfo=UTC)),
        ("2026-11-23T09:00-05:00", datetime(2026, 11, 23, 14, tzinfo=UTC)),
        ("2026-11-23", datetime(2026, 11, 22, 23, tzinfo=UTC)),
    ],
)
def test_a_time_without_an_offset_is_in_the_metrics_time_zone(at, expected, database):
    annotate("Sale", at=at)
    assert Annotation.objects.get().moment == expected


def test_an_annotation_may_link_to_a_page(database):
    annotate("Deployed", url="http://ci/jobs/42?log=1")
    assert Annotation.objects.get().link == "http://ci/jobs/42?log=1"


def test_a_text_of_several_lines_becomes_one(database):
    annotate(" Release\n4.2\0 ")
    assert Annotation.objects.get().text == "Release 4.2"


def test_without_verbosity_nothing_is_printed(database):
    assert annotate("Release 4.2", verbosity=0) == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x", "--at", "soon"], r"argument --at: 'soon' is not a time; give one such as 2026-11-23T09:00"),
        (["x", "--at", "1790120511"], "'1790120511' is a number; give a time in ISO format"),
        (["x", "--at", "3026-11-23"], "year 3026; APP_METRICS_YEARS allows 1970 to 2100"),
        (["x", "--url", "javascript:alert(1)"], "'javascript:alert.1.' is not an address .*; begin it with http:// or"),
        (["x", "--url", "example.com"], "'example.com' is not an address of a page"),
        (["x", "--url", "http://a b"], "is not an address of a page"),
        (["x", "--url", "http://a\0"], "NUL"),
        (["x", "--url", "https://a/" + "b" * 500], "`url` has 510 characters; the maximum is 500"),
        ([""], 'The text is empty; say what happened, such as "Release 4.2"'),
        ([" \n"], "The text is empty"),
        (["x" * 201], "`text` has 201 characters; the maximum is 200"),
    ],
)
def test_a_bad_argument_is_refused_with_what_to_do(arguments, said, database):
    with pytest.raises(CommandError, match=said):
        annotate(*arguments)
    assert not Annotation.objects.exists()
