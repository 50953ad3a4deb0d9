from django import forms
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User


class SignUpForm(UserCreationForm):
    email = forms.EmailField()
    newsletter = forms.BooleanField(required=False, label="Send me the monthly letter")

    class Meta:
        model = User
        fields = ["username", "email"]
