"""What the project's admin shows; importing the parts registers them."""

from . import counting, reporting, watching

__all__ = ["counting", "reporting", "watching"]
