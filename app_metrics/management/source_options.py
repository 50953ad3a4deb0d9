"""Options and messages of the commands that read the source tables of metrics."""

from argparse import ArgumentParser
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import CommandError

from ..aggregation.run import aggregate
from ..core.plain_text import one_line
from ..transfer.source_tables import MetricSource, UnusableSource, configured_source, given_source

INTERRUPTED = "Interrupted. Run the command again to continue."


def aggregate_first() -> None:
    """Aggregate before metrics are filled. Raises CommandError if pending batches could not be moved.

    Their hours would look empty, and be filled.
    """
    if failures := aggregate().failures:
        raise CommandError(f"Nothing was filled. {one_line(failures[0])}")


def add_source_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--model", metavar="auth.User", help="Count the rows of this model, instead of following the rules."
    )
    parser.add_argument("--field", metavar="date_joined", help="The model's date field.")
    parser.add_argument("--num", help="The number to count per row, or a dotted path as in a rule (default: 1).")
    parser.add_argument(
        "--unique", metavar="user_id", help="Count once what this field, or this dotted path, of the rows refers to."
    )


def named_source(slug: str, options: dict[str, Any]) -> MetricSource:
    """Return the source of a metric from the options, or else from the settings. Raises CommandError."""
    model, field, num, unique = (options[name] for name in ("model", "field", "num", "unique"))
    if bool(model) != bool(field) or ((num or unique) is not None and not model):
        raise CommandError("Give --model and --field together, and --num or --unique only with them.")
    if num is not None and unique is not None:
        raise CommandError("Give --num or --unique: a unique count has no numbers.")
    try:
        return given_source(slug, model, field, _number(num), unique) if model else configured_source(slug)
    except UnusableSource as error:
        raise CommandError(str(error)) from error


def skipped_undated(number: int) -> str:
    """Return a clause about rows without a date."""
    if number == 1:
        return "1 row was skipped because it has no valid date"
    return f"{number} rows were skipped because they have no valid date"


def _number(text: str | None) -> Any:
    """Return a text as a number, or unchanged if it is a path; None if there is none."""
    try:
        return Decimal(text) if text else None
    except InvalidOperation:
        return text
