"""Label sets as canonical text, and the overflow series of label sets beyond a metric's limit."""

import json
from collections.abc import Mapping

NO_LABELS = "{}"
# The series for all further label sets of a metric that has reached its limit.
OVERFLOW_LABELS = '{"overflow":"true"}'


def encode_labels(labels: Mapping[str, str]) -> str:
    """Return the canonical text of a label set; the order of its keys does not matter."""
    return json.dumps(labels, ensure_ascii=False, sort_keys=True, separators=(",", ":")) if labels else NO_LABELS


def decode_labels(text: str) -> dict[str, str]:
    """Return the label set of a text. Raises ValueError for a text that is not JSON."""
    try:
        labels: dict[str, str] = json.loads(text)
    except RecursionError as error:
        raise ValueError("The labels are nested too deeply; give a mapping of names to texts.") from error
    return labels


def readable_labels(text: str) -> dict[str, str]:
    """Return a label set; an empty one for the invalid text of an item that the next aggregation will quarantine."""
    try:
        labels = decode_labels(text)
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in labels.items()} if isinstance(labels, dict) else {}


def cap_labels(labels: str, known: set[str], limit: int) -> str:
    """Return the label set and add it to `known`, or return the overflow series if `known` holds `limit` others."""
    if labels in known or labels == OVERFLOW_LABELS:
        return labels
    if len(known) >= limit:
        return OVERFLOW_LABELS
    known.add(labels)
    return labels
