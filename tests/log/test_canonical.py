"""One text for one value, and the digests over it."""

from __future__ import annotations

import json
import math
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amie_engine.log.canonical import canonical_json, digest, salted_digest

property_test = settings(max_examples=60, deadline=None, derandomize=True)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def in_another_order(value: Any) -> Any:
    """The same value with the keys of its objects the other way round."""
    if isinstance(value, dict):
        return {key: in_another_order(value[key]) for key in reversed(value)}
    return [in_another_order(item) for item in value] if isinstance(value, list) else value


@property_test
@given(json_values)
def test_equal_values_have_equal_texts_whatever_the_order_of_their_keys(value: Any) -> None:
    assert canonical_json(in_another_order(value)) == canonical_json(value)


@property_test
@given(json_values, json_values)
def test_texts_are_equal_only_for_values_that_json_does_not_tell_apart(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (canonical_json(one) == canonical_json(other)) is same


@property_test
@given(json_values)
def test_the_text_is_ascii_and_reads_back_as_the_value(value: Any) -> None:
    text = canonical_json(value)
    assert text.isascii()
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None, "x"]}, '{"a":[true,null,"x"],"b":1}'),
        ({"é": "€\U0001f600"}, '{"\\u00e9":"\\u20ac\\ud83d\\ude00"}'),
        ({"Z": 1, "a": 2, "é": 3}, '{"Z":1,"a":2,"\\u00e9":3}'),
        (["\x00", "\n", '"', "\\", "\x7f"], '["\\u0000","\\n","\\"","\\\\","\\u007f"]'),
        (10**37, "1" + "0" * 37),
        ((1, 2), "[1,2]"),
    ],
)
def test_the_text_of_some_values(value: Any, text: str) -> None:
    assert canonical_json(value) == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_has_no_text_for_are_refused(value: float) -> None:
    for holder in (value, [value], {"a": {"b": value}}):
        with pytest.raises(ValueError, match="not JSON compliant"):
            canonical_json(holder)


def test_digests_are_sha256_in_hex() -> None:
    assert digest("abc") == sha256(b"abc").hexdigest()
    assert salted_digest("0f" * 16, "abc") == sha256(b"0f" * 16 + b"\nabc").hexdigest()


@property_test
@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16), json_values)
def test_another_salt_gives_another_digest(one: bytes, other: bytes, value: Any) -> None:
    text = canonical_json(value)
    same = salted_digest(one.hex(), text) == salted_digest(other.hex(), text)
    assert same is (one == other)
