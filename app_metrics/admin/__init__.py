"""What the project's admin shows; importing the parts registers them."""

from . import counting, dashboard, reporting, watching

__all__ = ["counting", "dashboard", "reporting", "watching"]
