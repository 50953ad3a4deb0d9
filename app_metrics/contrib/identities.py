"""The key `unique`: an id, of which only a hash is kept."""

from dataclasses import dataclass

from ..core.hashing import text_of
from .paths import Getter, RuleSource


@dataclass(frozen=True, slots=True)
class Identity:
    """Reads the id of something that counts once, such as a user.

    Errors do not quote what the getter's own errors may quote: the id, or others that it was looked up by.
    """

    get: Getter

    @property
    def relations(self) -> tuple[str, ...]:
        return getattr(self.get, "relations", ())

    def __call__(self, source: RuleSource) -> str | None:
        """Return the id as text; None if there is none, as of a visitor without a login."""
        try:
            value = self.get(source)
        except Exception as error:
            raise ValueError(f"reading 'unique' failed with {type(error).__name__}") from None
        return None if value is None or value == "" else text_of(value)
