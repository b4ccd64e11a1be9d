"""What a handler's earlier calls have left in the log, and where the one under way leaves what it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amie_engine.engine import Engine
from amie_engine.engine.work import Assignment

__all__ = ["LogMemory"]


@dataclass(frozen=True, slots=True)
class LogMemory:
    """The memory of a handler that a worker calls.

    Args:
        engine: Whose log it is.
        assignment: What the handler was given.
        actor: Whose handler it is, for the record.
    """

    engine: Engine
    assignment: Assignment
    actor: str

    def result(self, name: str) -> tuple[Any] | None:
        return self.engine.work.record.result(self.assignment.lease, name)

    def remember(self, name: str, result: Any, milliseconds: int) -> Any:
        return self.engine.work.record.step(
            self.assignment.lease, name, result, milliseconds=milliseconds, actor=self.actor
        )

    def answer(self, name: str) -> str | None:
        question = self.assignment.item.question(name)
        if question is None or question.answered_version is None:
            return None
        if question.answer is not None:
            return question.answer
        document = self.engine.work.document(self.assignment.lease, question.answered_version)
        return str(document["answer"])

    def alive(self) -> None:
        self.engine.work.record.alive(self.assignment.lease)
