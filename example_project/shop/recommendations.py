"""Stands in for a broken part of the site."""

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from .models import Book


class RecommendationsError(Exception):
    """The recommendations are not implemented."""


def recommend(user: AbstractBaseUser | AnonymousUser) -> list[Book]:
    raise RecommendationsError(f"There is nothing to recommend to {user}.")
