"""Columns that behave the same on every database: text is compared exactly, decimals are never rounded to floats."""

from base64 import b64encode
from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models.functions import Cast

from ..core.numbers import QUANTUM, ROUNDING, trimmed
from ..core.sketches import decode_base64

# Not utf8mb4_bin, which ignores trailing spaces: "login" would equal "login ".
EXACT_COLLATIONS = {"MariaDB": "utf8mb4_nopad_bin", "MySQL": "utf8mb4_0900_bin"}


def unicode_text(column: str) -> Cast:
    """Return a text column that compares with any text; MariaDB and MySQL refuse text that its charset lacks."""
    return Cast(column, models.CharField())


class ExactTextMixin:
    """Compare case, accents and trailing spaces, which the default collations of MariaDB and MySQL ignore."""

    def db_parameters(self, connection: Any) -> dict[str, Any]:
        parameters: dict[str, Any] = super().db_parameters(connection)  # type: ignore[misc]
        if connection.vendor == "mysql":
            parameters["collation"] = EXACT_COLLATIONS[connection.display_name]
        return parameters


class ExactCharField(ExactTextMixin, models.CharField):  # type: ignore[type-arg]
    pass


class ExactSlugField(ExactTextMixin, models.SlugField):  # type: ignore[type-arg]
    pass


class ExactUUIDField(models.UUIDField):  # type: ignore[type-arg]
    """A UUID; without a type for it, it is text whose bytes are compared, which takes a fraction of the time."""

    def db_parameters(self, connection: Any) -> dict[str, Any]:
        parameters: dict[str, Any] = super().db_parameters(connection)
        if connection.vendor == "mysql" and not connection.features.has_native_uuid_field:
            parameters["collation"] = "ascii_bin"
        return parameters


class PlainDecimalField(models.DecimalField):  # type: ignore[type-arg]
    """A decimal that is read without trailing zeros: databases return 102 as 102.000000000, and 0 as 0E-9."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Decimal | None:
        return None if value is None else trimmed(value if isinstance(value, Decimal) else Decimal(str(value)))


class ExactDecimalField(PlainDecimalField):
    """A decimal kept as text on SQLite, whose NUMERIC columns turn into floats beyond 15 digits."""

    def get_internal_type(self) -> str:
        # Django converts "DecimalField" columns of SQLite from floats; ours hold text.
        return "ExactDecimalField"

    def db_type(self, connection: Any) -> str:
        if connection.vendor == "sqlite":
            return "text"
        return f"numeric({self.max_digits}, {self.decimal_places})"

    def get_prep_value(self, value: Any) -> Decimal | None:
        # SQLite compares text, so equal numbers need equal texts.
        number = super().get_prep_value(value)
        return None if number is None else ROUNDING.quantize(number, QUANTUM)


class SketchField(models.BinaryField):  # type: ignore[type-arg]
    """An encoded sketch, or several of them, one after the other, which are those of one summary.

    They are Base64 on SQLite, to which rows are sent as JSON, which holds no bytes.
    """

    def db_type(self, connection: Any) -> str | None:
        return "text" if connection.vendor == "sqlite" else super().db_type(connection)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if value is not None and connection.vendor == "sqlite":
            return b64encode(value).decode()
        return super().get_db_prep_value(value, connection, prepared)

    def select_format(self, compiler: Any, sql: str, params: Any) -> Any:
        # The driver refuses to read a damaged text that is not UTF-8, and with it all other rows.
        return (f"CAST({sql} AS blob)" if compiler.connection.vendor == "sqlite" else sql), params

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> bytes | None:
        if value is None or connection.vendor != "sqlite":
            return value if value is None else bytes(value)
        try:
            return decode_base64(value.decode())
        except ValueError:
            return bytes(value)  # damaged, as its decoder will say
