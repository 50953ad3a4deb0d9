"""Options of the commands that code passes by `call_command()`."""

import pytest
from django.core.management import CommandError, call_command

from app_metrics import metric
from app_metrics.aggregation.backlog import backlog
from app_metrics.models.creation import create_metric


def test_a_number_may_be_text(database):
    metric("signups")
    call_command("metrics_aggregate", chunk_size="100", verbosity=0)
    assert backlog().items == 0


def test_a_slug_and_a_number_of_periods_may_be_text(database, capsys):
    create_metric("Signups", "signups")
    call_command("metrics_show", "signups", last="3")
    assert len([line for line in capsys.readouterr().out.splitlines() if "-" in line]) == 3


def test_a_date_and_a_file_may_be_text(database, tmp_path):
    metric("signups")
    call_command("metrics_export", since="2020-01-01", output=str(tmp_path / "totals.csv"), verbosity=0)
    assert "signups" in (tmp_path / "totals.csv").read_text()


def test_a_filter_may_be_a_text_or_a_list_of_them(database, tmp_path):
    metric("signups", labels={"plan": "pro"})
    path = tmp_path / "totals.csv"
    for where, count in (["plan=pro", 6], [["plan=pro"], 6], [["plan=free"], 1]):
        call_command("metrics_export", where=where, output=str(path), verbosity=0)
        assert len(path.read_text().splitlines()) == count


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("metrics_aggregate", {"chunk_size": "many"}, "argument --chunk-size: invalid int value: 'many'"),
        ("metrics_export", {"since": "soon"}, "argument --since: 'soon' is not a date"),
        ("metrics_export", {"where": "plan"}, "--where is 'plan'; give LABEL=VALUE, such as plan=pro."),
        ("metrics_export", {"format": "xml"}, "argument --format: invalid choice: 'xml'"),
    ],
)
def test_a_bad_text_is_refused_as_on_the_command_line(name, options, said, database):
    with pytest.raises(CommandError, match=said):
        call_command(name, **options)
