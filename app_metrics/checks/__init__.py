"""System checks: find mistakes in the settings, each with a hint to fix it."""

from .alerts import check_firing
from .databases import check_database, check_routing
from .definitions import check_definitions, check_stored_definitions
from .doubled import check_doubled
from .predecessor import check_predecessor
from .ratios import check_ratios, check_slugs_of_ratios
from .rules import check_rules
from .settings import check_asgi, check_backend, check_settings
from .unique import check_unique_key

__all__ = [
    "check_asgi", "check_backend", "check_database", "check_definitions", "check_doubled", "check_firing",
    "check_predecessor", "check_ratios", "check_routing", "check_rules", "check_settings", "check_slugs_of_ratios",
    "check_stored_definitions", "check_unique_key",
]  # fmt: skip
