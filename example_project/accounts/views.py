from django.contrib import messages
from django.http import HttpResponse
from django.urls import reverse_lazy
from django.views.generic import CreateView

from . import newsletter
from .forms import SignUpForm


class SignUp(CreateView):
    form_class = SignUpForm
    template_name = "accounts/signup.html"
    success_url = reverse_lazy("accounts:login")

    def form_valid(self, form: SignUpForm) -> HttpResponse:
        """Save the account, then subscribe it; ATOMIC_REQUESTS rolls it back if that fails."""
        response = super().form_valid(form)
        if form.cleaned_data["newsletter"]:
            newsletter.subscribe(form.cleaned_data["email"])
        messages.success(self.request, "Welcome! Please log in.")
        return response
