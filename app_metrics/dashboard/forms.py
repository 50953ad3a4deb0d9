"""The query parameters of the dashboard's pages."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ..core.calendar import start_of, today
from ..core.periods import DAY, HOUR, Period
from ..models import KIND_NAMES, Total
from ..models.aggregates import are_exact
from .charts import EMPTY
from .date_range import DEFAULT_RANGE, MOST_ADDED_POINTS, MOST_SPLIT_POINTS, RANGES, Selection, ranged
from .metric_facts import Facts

ISO = "%Y-%m-%d"
DATE = forms.DateInput(format=ISO, attrs={"type": "date"})

# What the names of the fields of a filter begin with.
WHERE = "where."

# Columns the overview can be sorted by; a minus before the name sorts downwards.
SORTS = ("name", "today", "change", "yesterday", "week", "month")


def _titled(choices: Iterable[tuple[str, Any]], first: Any) -> list[tuple[str, Any]]:
    return [("", first), *((key, capfirst(name)) for key, name in choices)]


class OverviewForm(forms.Form):
    """Choose which metrics the overview lists, and in which order."""

    q = forms.CharField(label=_("Find"), required=False, max_length=200)
    set = forms.ChoiceField(label=_("Metric set"), required=False)
    kind = forms.ChoiceField(label=_("Kind"), required=False)
    sort = forms.ChoiceField(
        choices=[(sign + name, name) for name in SORTS for sign in ("", "-")], required=False, widget=forms.HiddenInput
    )

    def __init__(self, data: Any, sets: Iterable[tuple[int, str]]) -> None:
        super().__init__(data, label_suffix="")
        fields: Any = self.fields
        fields["set"].choices = [("", _("All")), *((str(pk), name) for pk, name in sets)]
        fields["kind"].choices = _titled(KIND_NAMES, _("All"))

    @property
    def is_narrowed(self) -> bool:
        """Whether the overview may leave out metrics."""
        return any(self.cleaned_data.get(name) for name in ("q", "set", "kind"))


class SelectionForm(forms.Form):
    """Choose what the chart of a metric shows: a named range or two dates, the period, a label to split by, a filter.

    The filter has a field for each label, named as the parameters of the API.
    """

    range = forms.ChoiceField(choices=[(name, name) for name in RANGES], required=False, widget=forms.HiddenInput)
    period = forms.ChoiceField(label=pgettext_lazy("step", "By"), required=False)
    start = forms.DateField(label=_("From"), required=False, input_formats=[ISO], widget=DATE)
    end = forms.DateField(label=_("To"), required=False, input_formats=[ISO], widget=DATE)
    split = forms.ChoiceField(label=_("Split by"), required=False)

    def __init__(
        self, data: Any = None, *, facts: Facts, initial: Any = None, reads_label_sets: bool = False, days: int = 0
    ) -> None:
        super().__init__(data, initial=initial, label_suffix="")
        self.facts, self._reads_label_sets, self._days = facts, reads_label_sets, days
        fields: Any = self.fields
        fields["period"].choices = [(each, capfirst(each.display_name)) for each in Period]
        fields["split"].choices = [("", _("Nothing")), *((name, name) for name in facts.labels)]
        for number, (name, values) in enumerate(facts.values.items()):
            fields[WHERE + name] = _filter_field(name, values, number)

    def clean(self) -> Any:
        for name in self.data:
            if name.startswith(WHERE) and name not in self.fields:
                self.add_error(None, _("There is no label “%(name)s”.") % {"name": name.removeprefix(WHERE)[:100]})
        if not self.errors:
            try:
                self.cleaned_data["selection"] = self._selection()
            except ValueError as error:
                self.add_error(None, str(error))
        return self.cleaned_data

    def _selection(self) -> Selection:
        given = self.cleaned_data
        last = given["end"] or today()
        period = Period(given["period"]) if given["period"] else None
        if given["start"]:
            chosen = Selection(period or DAY, given["start"], last, given["split"], where=self._where())
        else:
            name = given["range"] or DEFAULT_RANGE
            if self._days and RANGES[name].step == HOUR:  # an hour has no days
                period = period or DAY
            chosen = ranged(name, last, period, given["split"], self._where())
        is_split = chosen.split or self._reads_label_sets
        if is_split or not are_exact(Total.objects):
            most = MOST_SPLIT_POINTS if is_split else MOST_ADDED_POINTS
            chosen.check_points(most // (max(1, self.facts.label_sets) * self._read_per_point(chosen)))
        return chosen

    def _read_per_point(self, chosen: Selection) -> int:
        """Return how many totals of a label set each point takes: its own one, and days that no other point takes."""
        first = start_of(chosen.period, chosen.first)
        return 1 + min(self._days, (chosen.period.next(first) - first).days)

    def _where(self) -> dict[str, str]:
        given = {name: self.cleaned_data[WHERE + name] for name in self.facts.labels}
        return {name: _value_of(parameter) for name, parameter in given.items() if parameter}

    def named_range(self) -> str:
        """Return the name of the range that is shown, or an empty text if dates were given."""
        if not self.is_valid():
            return DEFAULT_RANGE
        given = self.cleaned_data
        return "" if given["start"] or given["end"] else given["range"] or DEFAULT_RANGE

    def selection(self) -> Selection:
        """Return the selection, or the default one if the form has errors."""
        if self.is_valid():
            chosen: Selection = self.cleaned_data["selection"]
            return chosen
        return ranged(DEFAULT_RANGE, today())

    def shown(self) -> "SelectionForm":
        """Return the form for the page: filled with the selection, or as it was submitted if it has errors."""
        if not self.is_valid():
            return self
        chosen, name = self.selection(), self.named_range()
        initial = {"period": chosen.period, "start": chosen.first, "end": chosen.last, "split": chosen.split}
        where = {WHERE + name: _parameter_of(value) for name, value in chosen.where.items()}
        return SelectionForm(facts=self.facts, initial={**initial, **where, "range": name})


def _parameter_of(value: str) -> str:
    """Return a label's value as a parameter, where an empty text means any; quotes alone get two more."""
    return value if value.strip('"') else value + EMPTY


def _value_of(parameter: str) -> str:
    return parameter if parameter.strip('"') else parameter.removesuffix(EMPTY)


def _filter_field(label: str, values: Iterable[str], number: int) -> forms.ChoiceField:
    choices = [("", _("Any")), *((each, each) for each in map(_parameter_of, values))]
    # Its name may hold any character, which an id may not.
    widget = forms.Select(attrs={"id": f"id_where_{number}"})
    title = _("Filter: %(label)s") % {"label": label}
    return forms.ChoiceField(label=title, choices=choices, required=False, widget=widget)
