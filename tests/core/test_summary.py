"""Entries fold into summaries, and summaries merge; how the entries were split makes no difference."""

import time
import tracemalloc
from collections import defaultdict
from decimal import Decimal, localcontext
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_metrics.core.batch import Fold, new_batch_id
from app_metrics.core.histogram import Histogram
from app_metrics.core.labels import (
    NO_LABELS,
    OVERFLOW_LABELS,
    cap_labels,
    decode_labels,
    encode_labels,
    readable_labels,
)
from app_metrics.core.numbers import LARGEST, MAX_DIGITS, add, exact
from app_metrics.core.summary import (
    COUNTER,
    FIELDS,
    GAUGE,
    KINDS,
    LATEST,
    MAX,
    MEASURED,
    MIN,
    NAMES,
    SKETCHES,
    SUM,
    TIMER,
    UNION,
    UNIQUE,
    check_sums,
    distinct,
    from_values,
    headline,
    merge,
    merge_all,
    merge_into,
    merged_sketch,
    of_kind,
    percentile,
    subtract,
    to_item_sketches,
    to_sketches,
    to_values,
)
from app_metrics.core.uniques import EXACT
from tests.support.summaries import measured, seen, summary_of

UTC = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")

numbers = st.integers(-LARGEST + 1, LARGEST - 1) | st.decimals(-LARGEST + 1, LARGEST - 1, places=9)
hashes = st.integers(0, 2**64 - 1) | st.integers(0, 3)
moments = st.integers(0, 5)  # few, so that two summaries often end at the same microsecond
labels = st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=8)


@st.composite
def summaries(draw, at=moments):
    """Draw a summary of one to five entries."""
    make, drawn = draw(st.sampled_from([(summary_of, numbers), (measured, numbers), (seen, hashes)]))
    return make(*draw(st.lists(drawn, min_size=1, max_size=5)), at=draw(at))


def union(a, b):
    return a + b if a and b else a or b


RULES = {SUM: add, MIN: min, MAX: max, UNION: union}


@given(summaries(), summaries())
def test_merge_follows_the_rule_of_every_field(a, b):
    later = b if b.last_at >= a.last_at else a
    for field, merged, left, right, latest in zip((*FIELDS, *SKETCHES), merge(a, b), a, b, later, strict=True):
        expected = latest if field.rule == LATEST else RULES[field.rule](left, right)
        assert (field.name, merged) == (field.name, expected)


@given(summaries(), summaries())
def test_subtracting_takes_off_the_sums_and_leaves_the_other_fields(a, b):
    for field, left, whole, part in zip((*FIELDS, *SKETCHES), subtract(a, b), a, b, strict=True):
        expected = add(left, part) if field.rule == SUM else left
        assert (field.name, whole) == (field.name, expected)
    assert subtract(merge(a, b), b)[:2] == a[:2]


@given(summaries())
def test_a_summary_survives_as_values(summary):
    assert from_values(to_values(summary), to_sketches(summary)) == summary


@given(st.lists(numbers, min_size=1, max_size=5))
def test_the_histogram_of_an_item_is_left_out_if_it_is_a_single_number(recorded):
    summary = measured(*recorded)
    sketches = to_item_sketches(summary)
    assert (sketches[0] is None) == (len(recorded) == 1)
    assert of_kind(TIMER, from_values(to_values(summary), sketches)) == summary


def test_the_hash_of_a_single_event_stays_with_its_item():
    assert from_values(to_values(seen(5)), to_item_sketches(seen(5))) == seen(5)


@given(summaries(), summaries())
def test_sketches_in_a_row_are_those_of_the_merged_summary(a, b):
    appended = [" ".join(filter(None, pair)) or None for pair in zip(to_sketches(a), to_sketches(b), strict=True)]
    assert list(map(merged_sketch, SKETCHES, appended)) == list(to_sketches(merge(a, b)))


def test_a_histogram_with_more_numbers_than_events_is_refused():
    with pytest.raises(ValueError, match="more numbers"):
        from_values([1, 1, 1, 1, 1, 1], to_sketches(measured(1, 2)))


@pytest.mark.parametrize(("different", "events"), [(2, 1), (EXACT + 1, EXACT)])
def test_a_sketch_of_more_values_than_events_is_refused(different, events):
    text = to_sketches(seen(*range(different)))
    with pytest.raises(ValueError, match="fewer events"):
        from_values([events, 1, 1, 1, 1, 1], text)
    assert from_values([different, 1, 1, 1, 1, 1], text).uniques is not None


def test_the_headline_of_a_unique_count_is_the_number_of_different_values_and_at_most_that_of_events():
    assert headline(UNIQUE, seen(1, 2, 1)) == 2
    many = seen(*range(0, 2**64, 2**64 // 1200))
    assert many.uniques.count > many.count == headline(UNIQUE, many)
    assert headline(UNIQUE, None) == 0
    assert headline(UNIQUE, summary_of(1)) is None
    assert distinct(seen(1)) == 1


@given(st.lists(numbers, min_size=1, max_size=20))
def test_a_percentile_is_within_the_recorded_numbers(recorded):
    summary = measured(*recorded)
    found = [percentile(summary, percent) for percent in (1, 50, 99, 100)]
    assert all(min(recorded) <= each <= max(recorded) for each in found)
    assert found == sorted(found)


def test_percentiles_at_the_extremes_are_exact():
    summary = measured(*[number * Decimal("0.1234") for number in (1, 2, 3)])
    assert (percentile(summary, 1), percentile(summary, 95)) == (summary.minimum, summary.maximum)


def test_percentiles_of_equal_numbers_are_exact():
    assert percentile(measured(*[Decimal("0.412")] * 9), 95) == Decimal("0.412")


def test_percentiles_are_unknown_without_the_histogram_of_all_numbers():
    assert percentile(summary_of(1, 2), 50) is None
    assert percentile(merge(summary_of(1), measured(1)), 50) is None


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
@pytest.mark.parametrize("value", ["x", "NaN", None, []])
def test_values_that_are_no_summary_are_refused(field, value):
    values = dict(zip(NAMES, to_values(summary_of(1, at=1)), strict=True)) | {field.name: value}
    with pytest.raises((ValueError, TypeError)):
        from_values(values.values())


@pytest.mark.parametrize("at", [2**63, -(2**63) - 1, "9" * 20])
def test_a_time_beyond_64_bits_is_refused_because_no_column_holds_it(at):
    with pytest.raises(ValueError, match="is not a time in microseconds"):
        from_values([1, 1, 1, 1, 1, at])


@pytest.mark.parametrize("number", [10**29, -(10**29)])
@pytest.mark.parametrize("field", [field for field in FIELDS if field.rule == SUM], ids=lambda field: field.name)
def test_a_sum_that_fits_into_no_total_is_refused(field, number):
    with pytest.raises(OverflowError):
        check_sums(summary_of(1, at=1)._replace(**{field.name: number}))


def test_merging_into_a_mapping_begins_with_the_first_summary():
    found = {}
    for number in (1, 2, 4):
        merge_into(found, "key", summary_of(number, at=number))
    assert found == {"key": merge_all([summary_of(1, at=1), summary_of(2, at=2), summary_of(4, at=4)])}


@given(summaries(), summaries(), summaries())
def test_merge_is_associative(a, b, c):
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(summaries(at=st.integers(0, 9)), summaries(at=st.integers(10, 19)))
def test_merge_is_commutative_when_times_differ(a, b):
    assert merge(a, b) == merge(b, a)


def test_merging_last_values_of_equal_times_keeps_the_right_one():
    assert merge(summary_of(1, at=5), summary_of(2, at=5)).last == 2
    assert merge(summary_of(2, at=5), summary_of(1, at=5)).last == 1


@given(st.lists(st.tuples(numbers, moments), min_size=1, max_size=30), st.data())
def test_folding_in_any_split_gives_the_same(entries, data):
    folded = [summary_of(number, at=at) for number, at in entries]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(folded)), max_size=5)))
    parts = [folded[first:last] for first, last in zip([0, *cuts], [*cuts, len(folded)], strict=True)]
    assert merge_all(part for part in map(merge_all, parts) if part is not None) == merge_all(folded)


@given(st.lists(numbers, min_size=1, max_size=50))
def test_a_merged_total_is_exact(recorded):
    merged = merge_all(summary_of(number) for number in recorded)
    assert Fraction(merged.total) == sum(map(Fraction, recorded))
    assert (merged.count, merged.minimum, merged.maximum) == (len(recorded), min(recorded), max(recorded))


def test_a_total_is_exact_for_any_precision_of_the_thread():
    with localcontext() as context:
        context.prec = 3
        assert add(Decimal("123456789.123456789"), 1) == Decimal("123456790.123456789")


def test_the_largest_number_adds_up_a_hundred_billion_times_within_a_stored_number():
    total = (LARGEST - Decimal("1e-9")) * 10**11
    assert len(total.as_tuple().digits) <= MAX_DIGITS


def test_nothing_merges_to_none():
    assert merge_all([]) is None


@pytest.mark.parametrize(
    ("number", "exactly"),
    [
        (0.1, "0.1"),
        (1e-9, "0.000000001"),
        (1 / 3, "0.333333333"),
        (2.5e-10, "0"),
        (1e17, "1e17"),
        (7, "7"),
        (123456789.123456789, "123456789.12345679"),
    ],
)
def test_a_float_becomes_its_shortest_decimal_with_nine_places(number, exactly):
    assert exact(number) == Decimal(exactly)


@given(labels, st.randoms())
def test_the_text_of_a_label_set_does_not_depend_on_the_order_of_its_keys(mapping, random):
    pairs = list(mapping.items())
    random.shuffle(pairs)
    assert encode_labels(dict(pairs)) == encode_labels(mapping)
    assert decode_labels(encode_labels(mapping)) == mapping


@pytest.mark.parametrize(
    ("text", "labels"),
    [('{"plan":"pro"}', {"plan": "pro"}), ("{}", {}), ("", {}), ("{half", {}), ("[1]", {}), ('{"n":1}', {"n": "1"})],
)
def test_invalid_label_texts_can_be_read(text, labels):
    assert readable_labels(text) == labels


@given(labels, labels)
def test_different_label_sets_have_different_texts(a, b):
    assert (encode_labels(a) == encode_labels(b)) == (a == b)


def test_the_texts_of_no_labels_and_of_the_overflow_series_are_canonical():
    assert encode_labels({}) == NO_LABELS
    assert encode_labels({"overflow": "true"}) == OVERFLOW_LABELS


def test_batch_ids_are_uuids_of_version_7_in_order_of_time_with_room_for_item_ids():
    before = time.time_ns() // 1_000_000
    ids = []
    for _ in range(3):
        ids.append(new_batch_id())
        millisecond = ids[-1].int >> 80
        while time.time_ns() // 1_000_000 == millisecond:
            pass
    assert ids == sorted(ids)
    assert {(each.version, each.variant) for each in ids} == {(7, "specified in RFC 4122")}
    assert all(each.int & 0xFFFF == 0 for each in ids)
    assert before <= ids[0].int >> 80 <= time.time_ns() // 1_000_000


def test_a_fold_keeps_slug_kind_labels_and_hour_apart():
    fold = Fold(BERLIN, 10)
    hour = 3600
    for entry in [
        ("a", COUNTER, NO_LABELS, 1, 0.0),
        ("a", COUNTER, NO_LABELS, 2, 0.5),
        ("b", COUNTER, NO_LABELS, 3, 0.0),
        ("a", GAUGE, NO_LABELS, 4, 0.0),
        ("a", COUNTER, '{"x":"y"}', 5, 0.0),
        ("a", COUNTER, NO_LABELS, 6, hour + 0.0),
    ]:
        fold.add(entry)
    first = next(iter(fold.summaries))
    assert (first.day.isoformat(), first.hour) == ("1970-01-01", 1)
    assert fold.summaries.pop(first) == summary_of(1, 2, at=500_000)
    assert [summary.total for summary in fold.summaries.values()] == [3, 4, 5, 6]


@given(st.lists(st.tuples(st.sampled_from(KINDS), numbers), max_size=100))
def test_a_fold_makes_histograms_of_timers_and_distributions(recorded):
    fold = Fold(UTC, 10)
    for kind, number in recorded:
        fold.add(("x", kind, NO_LABELS, number, 0.0))
        fold.settle()
    for key, summary in fold.summaries.items():
        folded = [number for kind, number in recorded if kind == key.kind]
        assert summary.histogram == (Histogram(folded) if key.kind in MEASURED else None)


@given(st.lists(hashes, min_size=1, max_size=50))
def test_a_fold_makes_sketches_of_unique_counts(recorded):
    fold = Fold(UTC, 10)
    for each in recorded:
        fold.add(("x", UNIQUE, NO_LABELS, each, 0.0))
        fold.settle()
    assert [*fold.summaries.values()] == [seen(*recorded)]


def test_memory_stays_flat_under_many_numbers_of_a_timer():
    fold, peaks = Fold(UTC, 100), {}
    tracemalloc.start()
    try:
        for number in range(30_000):
            fold.add(("x", TIMER, NO_LABELS, number % 1000 / 7, 0.0))
            if not number % 100:
                fold.settle()
            if number in (5_000, 29_999):
                peaks[number] = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peaks[29_999] < peaks[5_000] * 1.1 + 10_000


def test_label_sets_past_the_cap_fold_into_the_overflow_series_and_totals_stay_right():
    fold = Fold(UTC, 2)
    for number, value in enumerate("abcadb", start=1):
        fold.add(("x", COUNTER, encode_labels({"k": value}), number, 0.0))
    fold.add(("x", COUNTER, NO_LABELS, 100, 0.0))
    fold.add(("y", COUNTER, encode_labels({"k": "new"}), 1000, 0.0))  # each metric has a cap of its own
    totals = {(key.slug, key.labels): summary.total for key, summary in fold.summaries.items()}
    assert totals == {
        ("x", '{"k":"a"}'): 1 + 4,
        ("x", '{"k":"b"}'): 2 + 6,
        ("x", OVERFLOW_LABELS): 3 + 5,
        ("x", NO_LABELS): 100,
        ("y", '{"k":"new"}'): 1000,
    }


def test_a_known_label_set_is_kept_when_the_cap_is_reached_or_was_lowered():
    known = {"a", "b"}
    assert [cap_labels(each, known, 1) for each in "abc"] == ["a", "b", OVERFLOW_LABELS]


def test_memory_stays_flat_under_many_distinct_label_values():
    fold = Fold(UTC, 100)
    peaks = defaultdict(int)
    tracemalloc.start()
    try:
        for number in range(30_000):
            fold.add(("x", COUNTER, f'{{"k":"{number}"}}', 1, 0.0))
            if number in (5_000, 29_999):
                peaks[number] = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(fold.summaries) == 101
    assert peaks[29_999] < peaks[5_000] * 1.1 + 10_000


def test_the_overflow_series_takes_no_place_among_the_label_sets():
    known = set()
    assert cap_labels(OVERFLOW_LABELS, known, 1) == OVERFLOW_LABELS
    assert [cap_labels(labels, known, 1) for labels in ("a", "b", "a")] == ["a", OVERFLOW_LABELS, "a"]
