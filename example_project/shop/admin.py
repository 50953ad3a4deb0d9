from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from .models import Book, Order


@admin.action(description="Put the selected books into the next box")
def put_into_next_box(model_admin: admin.ModelAdmin, request: HttpRequest, books: QuerySet[Book]) -> None:
    books.update(in_next_box=True)


@admin.register(Book)
class BookAdmin(admin.ModelAdmin):
    list_display = ["title", "author", "year", "stock", "in_next_box"]
    search_fields = ["title", "author"]
    actions = [put_into_next_box]


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display = ["id", "customer", "plan", "quantity", "amount", "created_at"]
    list_filter = ["plan", "created_at"]
    list_select_related = ["customer"]
    autocomplete_fields = ["customer"]
