"""The public names: they stay, and each says what it promises."""

from __future__ import annotations

import inspect

import pytest

import amie_engine

NAMES = [
    "AMIEClient",
    "AMIEEngineError",
    "AMIERequestError",
    "Due",
    "Engine",
    "Handle",
    "Outcome",
    "OutcomeKind",
    "Packet",
    "PacketInvalidData",
    "PacketInvalidType",
    "PacketList",
    "QuarantinedItem",
    "RecordedEvent",
    "Retries",
    "Runner",
    "Site",
    "Transaction",
    "TransactionSummary",
    "Work",
    "__version__",
]

CALLS = [
    "adopt",
    "carry_out_staged",
    "close",
    "confirm_deadline",
    "erase",
    "expected_reply",
    "fail",
    "history",
    "note_deadlines",
    "note_full_listing",
    "note_unknown",
    "quarantine",
    "quarantined",
    "receive",
    "receive_all",
    "release",
    "reply",
    "resend",
    "start",
    "status",
    "transactions",
    "view",
]


def test_no_name_comes_or_goes_unnoticed() -> None:
    assert sorted(amie_engine.__all__) == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if name != "__version__"])
def test_every_name_has_a_docstring(name: str) -> None:
    assert inspect.getdoc(getattr(amie_engine, name))


def test_the_engine_s_calls() -> None:
    assert sorted(name for name in vars(amie_engine.Engine) if not name.startswith("_")) == CALLS


@pytest.mark.parametrize("name", CALLS)
def test_every_call_tells_of_each_argument_or_of_none(name: str) -> None:
    call = getattr(amie_engine.Engine, name)
    text = inspect.getdoc(call) or ""
    assert text
    told = text.split("Args:")[1].split("\n\n")[0] if "Args:" in text else None
    takes = [parameter for parameter in inspect.signature(call).parameters if parameter != "self"]
    assert told is None or [parameter for parameter in takes if f"{parameter}:" not in told] == []


def test_the_outcomes() -> None:
    assert [str(kind) for kind in amie_engine.OutcomeKind] == [
        "accepted",
        "already_there",
        "confirmed",
        "held",
        "conflict",
        "duplicate",
        "quarantined",
        "staged",
    ]
