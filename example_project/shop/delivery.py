"""Copies of books that a publisher delivers, and what is counted of them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse

from .models import Book


class Row(NamedTuple):
    book: Book
    copies: int


def put_on_shelf(rows: list[Row]) -> None:
    for book, copies in rows:
        book.refresh_from_db(fields=["stock"])
        book.stock += copies
        book.save(update_fields=["stock"])


def delivered_copies(request: HttpRequest, response: HttpResponse) -> Iterator[dict[str, Any]]:
    """Yield an event for each row of the delivery that a request brought, if it did; the settings refer to this."""
    for book, copies in getattr(request, "delivery", ()):
        yield {"num": copies, "labels": {"title": book.title}}
