"""The annotations of a chart: one mark for each of its periods that has some."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import ngettext

from ..core.calendar import locate
from ..core.periods import Start
from ..core.plain_text import one_line
from ..models import Annotation, Metric
from ..models.primary import beside
from .date_range import Selection


@dataclass(frozen=True, slots=True)
class Mark:
    """The annotations in one period of a chart, which is at `index`; marks are numbered from 1."""

    number: int
    index: int
    annotations: Sequence[Annotation]

    @property
    def title(self) -> str:
        """The text of the annotation; if there are several, how many."""
        count = len(self.annotations)
        if count == 1:
            return one_line(self.annotations[0].text)
        return ngettext("%(count)d annotation", "%(count)d annotations", count) % {"count": count}


def marks_of(metric: Metric, selection: Selection, starts: Sequence[Start]) -> list[Mark]:
    """Return the marks of a metric's chart, whose periods begin at `starts`; one query."""
    places = {start: index for index, start in enumerate(starts)}
    found: dict[int, list[Annotation]] = defaultdict(list)
    for annotation in beside(metric, Annotation.objects).within(*selection.span()).latest_of([metric]):
        index = places.get(locate(selection.period, annotation.moment))
        if index is not None:  # None: in a period that has not begun
            found[index].append(annotation)
    return [Mark(number, index, found[index]) for number, index in enumerate(sorted(found), start=1)]
