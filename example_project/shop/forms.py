from django import forms

from .delivery import Row
from .models import Book, Plan


class CheckoutForm(forms.Form):
    plan = forms.ChoiceField(choices=Plan.choices)
    quantity = forms.IntegerField(min_value=1, max_value=20, initial=1)
    card = forms.CharField(max_length=19, label="Card number", help_text="A card that ends in 0000 is refused.")


class DeliveryForm(forms.Form):
    rows = forms.CharField(widget=forms.Textarea, label="Copies", help_text="A line for each book, such as “Emma: 12”.")

    def clean_rows(self) -> list[Row]:
        return [delivery_row(line) for line in self.cleaned_data["rows"].splitlines()]


def delivery_row(line: str) -> Row:
    title, _, copies = line.rpartition(":")
    book = Book.objects.filter(title=title).first()
    if book is None or not copies.strip().isdecimal():
        raise forms.ValidationError(f"“{line}” is not a book of ours and a number of copies.")
    return Row(book, int(copies))
