from decimal import Decimal

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from app_metrics.contrib.querysets import CountedQuerySet


class Book(models.Model):
    title = models.CharField(max_length=200)
    author = models.CharField(max_length=100)
    year = models.PositiveSmallIntegerField()
    stock = models.PositiveIntegerField(default=0)
    in_next_box = models.BooleanField(default=False)

    # Its update() counts, too.
    objects = CountedQuerySet.as_manager()

    class Meta:
        ordering = ["author", "year"]

    def __str__(self) -> str:
        return self.title


class Plan(models.TextChoices):
    """How a box of books is sold."""

    SINGLE = "single", "A single box"
    QUARTERLY = "quarterly", "A box every quarter"
    YEARLY = "yearly", "Twelve boxes a year"

    @property
    def price(self) -> Decimal:
        return {
            "single": Decimal("24.90"),
            "quarterly": Decimal("92.00"),
            "yearly": Decimal("259.50"),
        }[self.value]


class Order(models.Model):
    customer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="orders")
    plan = models.CharField(max_length=20, choices=Plan)
    quantity = models.PositiveSmallIntegerField()
    amount = models.DecimalField(max_digits=10, decimal_places=2)
    # Not `auto_now_add`, which would give the orders of the demo's history the time at which they are made up.
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.quantity} of “{self.get_plan_display()}”"

    def get_absolute_url(self) -> str:
        return reverse("shop:thanks", args=[self.pk])


class Payment(models.Model):
    order = models.OneToOneField(Order, on_delete=models.CASCADE)
    paid_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"Payment of order {self.order_id}"
