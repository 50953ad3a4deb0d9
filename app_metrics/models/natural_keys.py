"""Natural keys: `dumpdata` and `loaddata` identify rows by their contents instead of their primary keys."""

from functools import reduce
from typing import Any, ClassVar, TypeVar

from django.db import models

Row = TypeVar("Row", bound=models.Model)


class NaturalKeyManager(models.Manager[Row]):
    def get_by_natural_key(self, *values: Any) -> Row:
        return self.get(**dict(zip(self.model.NATURAL_KEY, values, strict=True)))  # type: ignore[attr-defined]


class NaturalKeyModel(models.Model):
    """A model whose rows are identified by the fields in NATURAL_KEY, which may be fields of related rows."""

    NATURAL_KEY: ClassVar[tuple[str, ...]]

    objects = NaturalKeyManager()

    class Meta:
        abstract = True

    def natural_key(self) -> tuple[Any, ...]:
        return tuple(reduce(getattr, path.split("__"), self) for path in self.NATURAL_KEY)
