"""Batches as text: decoding restores what was encoded, and refuses any other text. Answers hold no markup."""

import json

import pytest

from app_metrics.core.batch import Batch, Key
from app_metrics.core.serialization import NewerBatchError, decode_batch, encode_batch, inert_json
from tests.support.contract import DAY, VARIED, batch_of
from tests.support.summaries import measured, seen, summary_of


def test_a_batch_survives_serialization():
    batch = Batch(VARIED)
    assert decode_batch(encode_batch(batch)) == batch


def test_the_text_is_one_line_of_json():
    text = encode_batch(Batch(VARIED))
    assert "\n" not in text
    assert json.loads(text)[0] == 1


def spoiled(place, value):
    version, _, [row] = json.loads(encode_batch(batch_of("orders")))
    row[place] = value
    # A fixed id: it becomes part of the test names, which must be the same in every test process.
    return json.dumps([version, "0199ab5c-0000-7000-8000-000000000000", [row]])


def test_a_row_without_sketches_is_the_same_as_before_there_were_any():
    _, _, [row] = json.loads(encode_batch(batch_of("orders")))
    assert len(row) == 11


def test_the_single_number_of_a_timer_in_a_row_without_histogram_has_one():
    batch = Batch({Key("export", "timer", "{}", DAY, 2): summary_of(7)})
    [summary] = decode_batch(encode_batch(batch)).summaries.values()
    assert summary == measured(7)


def test_a_unique_count_is_a_hash_in_a_row():
    batch = Batch({Key("users", "unique", "{}", DAY, 2): seen(7)})
    assert decode_batch(encode_batch(batch)) == batch


def extended(*values):
    version, batch_id, [row] = json.loads(spoiled(0, "orders"))
    return json.dumps([version, batch_id, [[*row, *values]]])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '[0, "0199ab5c-0000-7000-8000-000000000000", []]',
        '["2", "0199ab5c-0000-7000-8000-000000000000", []]',
        '[1, "no id", []]',
        "[1, 5, []]",
        '[1, "0199ab5c-0000-7000-8000-000000000000", [1]]',
        spoiled(0, "no slug"),
        spoiled(1, "nonsense"),
        spoiled(2, "no labels"),
        spoiled(2, '{"b":"1","a":"2"}'),
        spoiled(3, "2026-02-30"),
        spoiled(4, 48),
        spoiled(4, True),
        spoiled(5, 0),
        spoiled(5, 1.5),
        spoiled(6, "NaN"),
        spoiled(6, "x"),
        spoiled(6, None),
        spoiled(6, "1e999999999"),
        spoiled(6, "1e-999999999"),
        spoiled(6, "-1e29"),
        spoiled(2, "[" * 100_000),
        spoiled(2, json.dumps({"a": "b" * 500}, separators=(",", ":"))),
        "[" * 100_000,
        spoiled(10, "soon"),
        extended("AQO9", None),
        extended(5, None),
        extended("AQO9Ag==", None),  # two numbers, but its count is 1
        extended(None, None, None),
    ],
    ids=lambda text: text[:60],
)
def test_invalid_texts_are_refused_with_one_kind_of_error(text):
    with pytest.raises(ValueError, match="not a batch of version 1"):
        decode_batch(text)


def test_a_batch_of_a_newer_version_is_no_bad_one():
    with pytest.raises(NewerBatchError, match=r"in format 2 instead of 1\. .* upgrade app_metrics"):
        decode_batch('[2, {"anything": "else"}, 5]')
    assert not issubclass(NewerBatchError, ValueError)


def test_an_answer_holds_no_markup_and_keeps_its_data():
    data = {"name": "</script><img src=x>&"}
    text = inert_json(data)
    assert not set("<>&") & set(text)
    assert json.loads(text) == data
