"""System checks: find mistakes in the settings, each with a hint to fix it."""

from .databases import check_database, check_routing
from .predecessor import check_predecessor
from .rules import check_rules
from .settings import check_backend, check_settings, check_websockets

__all__ = [
    "check_backend", "check_database", "check_predecessor", "check_routing", "check_rules", "check_settings",
    "check_websockets",
]  # fmt: skip
