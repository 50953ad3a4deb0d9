import json
from typing import Any

from django.core.management.base import BaseCommand

from app_metrics.ratios import get_ratio


class Command(BaseCommand):
    help = "Print numerator, denominator and value of ratios over this year as JSON, pending items included."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("names", nargs="+")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(json.dumps({name: this_year(name) for name in options["names"]}))


def this_year(name: str) -> list[str]:
    quotient = get_ratio(name).quotient("year")
    return [str(each) for each in (quotient.numerator, quotient.denominator, quotient.value)]
