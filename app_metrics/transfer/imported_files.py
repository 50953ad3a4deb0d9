"""Which files were imported, and up to which line one is counted whose import is not complete."""

from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from ..conf import settings
from ..models import ImportedFile
from ..models.primary import primary


def complete(digest: str) -> ImportedFile | None:
    """Return the import of a file whose lines are all counted; None if there is none."""
    found: ImportedFile | None = _rows(digest).filter(counted_until=None).first()
    return found


def counted_until(digest: str) -> int:
    """Return the last line that is counted of a file whose import is not complete; 0 if there is no such line."""
    return _rows(digest).values_list("counted_until", flat=True).first() or 0


def move(digest: str, start: int, until: int | None, **about: Any) -> bool:
    """Store that lines from `start` on are counted up to `until`, or all if it is None; return False if they were.

    Call it in the transaction that counts them, before it reads anything: it locks out other imports of the file.
    """
    values = {"counted_until": until, "imported_at": timezone.now()}
    if start:
        return bool(_rows(digest).filter(counted_until=start).update(**values))
    try:
        with transaction.atomic(using=settings.APP_METRICS_DATABASE):
            ImportedFile(digest=digest, **about, **values).save(force_insert=True)
    except IntegrityError:
        return False
    return True


def incomplete(*, besides: str = "", **about: Any) -> str | None:
    """Return why others must not count what an import has yet to count; None if all imports are complete.

    `besides` is the digest of a file that does not matter, and `about` filters the others.
    """
    rows = primary(ImportedFile.objects).exclude(counted_until=None).exclude(digest=besides).filter(**about)
    name = rows.values_list("name", flat=True).first()
    if name is None:
        return None
    return (
        f"The import of {name} is under way, or was interrupted. Wait for it, or import the file again. If you have "
        "lost it, delete it from the imported files in the admin."
    )


def _rows(digest: str) -> Any:
    return primary(ImportedFile.objects).filter(digest=digest)
