"""The quick way to an event's hash gives what the definition gives, or nothing."""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amie_engine.log.chain import event_hash, linked_text

TEXT = (
    st.text() | st.text(st.characters(max_codepoint=126)) | st.sampled_from(["", '"', "\\", "\x00", "\x7f"])
)
INTEGER = st.integers(-(2**63), 2**63 - 1)
NULLABLE = st.none() | TEXT
STRANGE: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 5.0, 5.5, "5", b"5", b"", Decimal(5), float("nan"), (), []]
)

COLUMNS = [
    *(TEXT, INTEGER, TEXT, INTEGER, TEXT, INTEGER, TEXT, TEXT, TEXT),
    *(NULLABLE, NULLABLE, NULLABLE, NULLABLE, NULLABLE, TEXT, TEXT, NULLABLE),
]
INTEGERS = {1, 3, 5}
NULLABLES = {index for index, column in enumerate(COLUMNS) if column is NULLABLE}


def defined(values: tuple[Any, ...]) -> str:
    return event_hash(values[0], values[1:15], values[15], values[16])


@given(st.tuples(*COLUMNS))
@example(("", 1, "s", 1, "t", 1, "z", "h", "s", None, None, None, None, None, "a", "f", None))
@example(
    ("é", 0, "\ud7ff", -1, "\U0001f600", 0, "\u2028", "</", "\n", "", "null", "1", "\t", "\b", "\f", "'", "")
)
def test_it_is_the_text_that_is_hashed(values: Any) -> None:
    assert sha256(linked_text(*values).encode("ascii")).hexdigest() == defined(values)


@given(st.tuples(*COLUMNS), st.integers(0, len(COLUMNS) - 1), STRANGE)
def test_a_value_of_another_type_has_none(values: Any, index: int, strange: Any) -> None:
    allowed = (str if index not in INTEGERS else int, *((type(None),) if index in NULLABLES else ()))
    changed = (*values[:index], strange, *values[index + 1 :])
    if type(strange) in allowed:
        assert sha256(linked_text(*changed).encode("ascii")).hexdigest() == defined(changed)
    else:
        with pytest.raises(TypeError):
            linked_text(*changed)
