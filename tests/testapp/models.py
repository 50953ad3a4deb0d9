from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models

from app_metrics.contrib.querysets import CountedQuerySet


class Tag(models.Model):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Document(models.Model):
    title = models.CharField(max_length=100)
    pages = models.IntegerField(default=1)
    plan = models.CharField(max_length=20, default="free")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    tags = models.ManyToManyField(Tag, blank=True)

    objects = models.Manager()
    counted = CountedQuerySet.as_manager()

    def __str__(self) -> str:
        return self.title


class Draft(Document):
    """A proxy."""

    class Meta:
        proxy = True


class Report(Document):
    """A child model with its own table."""

    summary = models.TextField(blank=True)


class Notice(Report):
    """A proxy of the child model."""

    class Meta:
        proxy = True


class Member(AbstractBaseUser):
    """A custom user model."""

    name = models.CharField(max_length=50, unique=True)

    USERNAME_FIELD = "name"


class Order(models.Model):
    """A row with its creation time."""

    placed_at = models.DateTimeField(null=True)
    day = models.DateField(null=True)
    plan = models.CharField(max_length=20, default="free")
    amount = models.DecimalField(max_digits=12, decimal_places=2, default=1)
    is_test = models.BooleanField(default=False)
    document = models.ForeignKey(Document, models.SET_NULL, null=True, blank=True)

    objects = models.Manager()
    counted = CountedQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.placed_at}"


class Subscription(Order):
    """A child model with its own table."""
