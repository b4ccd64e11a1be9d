"""What must hold after the hostile load test: both sides agree, and everything happened once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from amie_engine import Engine
from amie_engine.audit import check_projections, verify
from hostile_site import BackEnd

__all__ = ["Findings", "check"]

_INFORM = "inform_transaction_complete"
_MOST_TOLD = 20


@dataclass(slots=True)
class Findings:
    """What was measured, and what disagrees."""

    measured: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    disagreements: list[str] = field(default_factory=list)

    def tell(self) -> None:
        """Print the table."""
        rows = {**self.measured, "disagreements": len(self.disagreements)}
        for name, value in rows.items():
            print(f"| {name} | {value} |")
        struck = sorted(self.faults.items(), key=lambda item: -item[1])
        told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in struck)
        print(f"| faults | {told} |")
        for sentence in self.disagreements[:_MOST_TOLD]:
            print(sentence)


def check(engine: Engine, service: dict[str, Any], back_end: BackEnd) -> Findings:
    """Compare the log with what the service tells of each transaction, and look at the back end.

    Args:
        engine: The engine of the log.
        service: The service's report.
        back_end: The site's back end.
    """
    theirs: dict[str, dict[str, Any]] = service["transactions"]
    findings = Findings(faults=service["faults"])
    ours = {one.trans_rec_id or one.stream: one for one in engine.transactions()}
    findings.disagreements += _compared({name: one.state for name, one in ours.items()}, theirs)
    findings.disagreements += _answered_again(service["answered"])
    effects = back_end.effects()
    findings.disagreements += _done_twice(effects)
    findings.disagreements += _never_done(theirs, effects)
    verdict = verify(engine.database)
    if not verdict.whole:
        findings.disagreements.append(f"verify: {verdict.kinds}")
    if differing := check_projections(engine.database).differing:
        findings.disagreements.append(f"replay --check: {differing}")
    states = Counter(one.state for one in ours.values())
    findings.measured = {
        "transactions": len(theirs),
        "completed, failed": f"{states['completed']}, {states['failed']}",
        "forgotten by the service": sum(story["forgotten"] for story in theirs.values()),
        "types": len({story["type"] for story in theirs.values()}),
        "events in the log": verdict.events,
        "in quarantine": len(engine.quarantine()),
        "effects in the back end": len(effects),
        "of these presented again": sum(presented > 1 for *_, presented in effects),
    }
    return findings


def _compared(ours: dict[str, str], theirs: dict[str, dict[str, Any]]) -> list[str]:
    found = []
    for name in sorted(ours.keys() | theirs.keys()):
        story, state = theirs.get(name), ours.get(name)
        if story is None:
            found.append(f"The log has {name} ({state}), of which the service has never heard.")
        elif story["forgotten"]:
            # It may have been forgotten before it was listed; else it has ended here, as it was when the
            # service still knew it, or failed.
            if state is not None and state != "failed" and state != story["state"]:
                found.append(f"{name}, which the service forgot as {story['state']}, is {state} in the log.")
        elif state != story["state"]:
            found.append(f"{name}: the service says {story['state']}, the log {state}.")
    return found


def _answered_again(answered: list[dict[str, Any]]) -> list[str]:
    """The packets of the hub's to which the site has posted more than one reply, taken or refused; what a
    fault has doubled counts as one."""
    return [
        f"The site posted {packet['replies']} replies to the {packet['type']} of {packet['trans_rec_id']}."
        for packet in answered
        if packet["replies"] > 1
    ]


def _done_twice(effects: list[tuple[str, str, str, int]]) -> list[str]:
    """The steps that were done under two keys."""
    times = Counter((trans_rec_id, step) for _, trans_rec_id, step, _ in effects)
    return [f"The step {step!r} of {name} was done {n} times." for (name, step), n in times.items() if n > 1]


_STEPS = {
    "request_project_create": {"create project", "create login"},
    "request_account_create": {"create account"},
}


def _never_done(theirs: dict[str, dict[str, Any]], effects: list[tuple[str, str, str, int]]) -> list[str]:
    """The requests that were answered, though the back end knows nothing of them."""
    done: dict[str, set[str]] = {}
    for _, trans_rec_id, step, _ in effects:
        done.setdefault(trans_rec_id, set()).add(step)
    found = []
    for name, story in theirs.items():
        answered = any(not from_hub and kind != _INFORM for from_hub, kind in story["packets"])
        lacking = _STEPS.get(story["type"], {"change"}) - done.get(name, set())
        if answered and lacking:
            found.append(f"{name} was answered, and {', '.join(sorted(lacking))} never done.")
    return found
