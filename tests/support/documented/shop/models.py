from django.db import models


class Book(models.Model):
    shelf = models.CharField(max_length=20)
    stock = models.IntegerField()

    def __str__(self) -> str:
        return self.shelf


class Order(models.Model):
    plan = models.CharField(max_length=20)
    status = models.CharField(max_length=20)
    quantity = models.IntegerField()
    amount = models.DecimalField(max_digits=10, decimal_places=2)
    customer_id = models.IntegerField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    placed_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.plan


class Payment(models.Model):
    order = models.OneToOneField(Order, on_delete=models.CASCADE)
    paid_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.order)
