from asgiref.sync import sync_to_async
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_safe

from . import orders
from .catalogue import csv_lines
from .delivery import put_on_shelf
from .forms import CheckoutForm, DeliveryForm
from .models import Book, Plan
from .payment import PaymentRefusedError
from .recommendations import recommend


@transaction.non_atomic_requests
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "shop/home.html", {"books": Book.objects.all(), "plans": Plan})


@transaction.non_atomic_requests
async def search(request: HttpRequest) -> HttpResponse:
    words = request.GET.get("q", "").strip()
    matches = Book.objects.filter(Q(title__icontains=words) | Q(author__icontains=words))
    books = [book async for book in matches] if words else []
    return await sync_to_async(render)(request, "shop/search.html", {"words": words, "books": books})


@transaction.non_atomic_requests
@require_safe
def export(request: HttpRequest) -> StreamingHttpResponse:
    headers = {"Content-Disposition": 'attachment; filename="catalogue.csv"'}
    return StreamingHttpResponse(csv_lines(), content_type="text/csv; charset=utf-8", headers=headers)


def recommendations(request: HttpRequest) -> HttpResponse:
    return render(request, "shop/home.html", {"books": recommend(request.user)})


@login_required
def checkout(request: HttpRequest) -> HttpResponse:
    form = CheckoutForm(request.POST or None, initial={"plan": request.GET.get("plan")})
    status = 200
    if form.is_valid():
        try:
            return redirect(orders.place_order(request.user, **form.cleaned_data))
        except PaymentRefusedError as refusal:
            form.add_error("card", str(refusal))
            status = 402
    return render(request, "shop/checkout.html", {"form": form}, status=status)


@login_required
def thanks(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "shop/thanks.html", {"order": get_object_or_404(request.user.orders, pk=pk)})


@login_required
@require_safe
def statement(request: HttpRequest) -> HttpResponse:
    return HttpResponse(orders.statement(request.user), content_type="text/plain; charset=utf-8")


@staff_member_required
def delivery(request: HttpRequest) -> HttpResponse:
    form = DeliveryForm(request.POST or None)
    if form.is_valid():
        request.delivery = form.cleaned_data["rows"]
        put_on_shelf(request.delivery)
        return redirect("shop:delivery")
    return render(request, "shop/delivery.html", {"form": form, "books": Book.objects.exclude(stock=0)})
