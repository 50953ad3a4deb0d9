"""What the command says about slugs that change: which get an alias, and where the code of the site must change."""

from tests.adoption.test_adopt import run
from tests.support.old_site import COMPANIES, OldSite, execute

HINT = "Change the code that records it."


def test_of_a_metric_and_a_gauge_with_one_text_the_metric_gets_the_alias(site):
    execute(site.connection, "UPDATE app_metrics_gauge SET slug = 'api.calls' WHERE slug = 'queue'")
    text = run("--dry-run")
    assert "    'api.calls': 'api-calls-2'," in text
    assert "Metric api.calls becomes api-calls-2.\n" in text
    assert f"Gauge api.calls becomes api-calls-3. {HINT}\n" in text


def test_of_two_metrics_with_one_text_the_first_gets_the_alias(old_database):
    OldSite(old_database.alias, COMPANIES, small=True).build()
    execute(old_database, "UPDATE app_metrics_metric SET slug = 'api.calls' WHERE id = 91")
    text = run("--dry-run")
    assert "    'api.calls': 'api-calls-2'," in text
    assert f"Metric api.calls becomes api-calls-3. {HINT}\n" in text


def test_the_last_lines_say_which_code_must_change_before_the_site_starts(site):
    text = run()
    assert (
        "Before you start the site, change the code that records these;\n"
        "otherwise their numbers are added to the metric that has the old slug:\n"
        "    gauge signups, now signups-gauge\n"
        "Adopted."
    ) in text


def test_the_last_lines_ask_for_no_change_of_code_if_there_is_none_to_make(site):
    execute(site.connection, "DELETE FROM app_metrics_gauge WHERE slug = 'signups'")
    assert "Before you start the site" not in run()
