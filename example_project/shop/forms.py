from django import forms

from .models import Plan


class CheckoutForm(forms.Form):
    plan = forms.ChoiceField(choices=Plan.choices)
    quantity = forms.IntegerField(min_value=1, max_value=20, initial=1)
    card = forms.CharField(max_length=19, label="Card number", help_text="A card that ends in 0000 is refused.")
