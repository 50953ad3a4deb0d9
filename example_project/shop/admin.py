from django.contrib import admin

from .models import Book, Order


@admin.register(Book)
class BookAdmin(admin.ModelAdmin):
    list_display = ["title", "author", "year"]
    search_fields = ["title", "author"]


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display = ["id", "customer", "plan", "quantity", "amount", "created_at"]
    list_filter = ["plan", "created_at"]
    list_select_related = ["customer"]
    autocomplete_fields = ["customer"]
