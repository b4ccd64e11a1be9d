"""Statements about a list of texts, however long: each database takes the list apart by itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from amie_engine.log.database import Cursor, Statement

__all__ = ["ListStatement"]

_ON_SQLITE = {"each": "SELECT value FROM json_each(:texts)", "find": "instr"}
_ON_POSTGRESQL = {
    "each": "SELECT value FROM jsonb_array_elements_text(CAST(:texts AS jsonb))",
    "find": "strpos",
}


class ListStatement:
    """A query about a list of texts.

    Args:
        sql: The query. ``{each}`` stands in it for a query of the texts, in the column ``value``; ``{find}``
            for the function that finds one text in another.
    """

    def __init__(self, sql: str) -> None:
        self._on_sqlite = Statement(sql.format_map(_ON_SQLITE))
        self._on_postgresql = Statement(sql.format_map(_ON_POSTGRESQL))

    def all(self, cursor: Cursor, values: Mapping[str, Any], texts: Iterable[str]) -> list[Any]:
        """Run it and return its rows as tuples; where there are no texts, mostly none."""
        listed = json.dumps(sorted(texts))
        statement = self._on_postgresql if cursor.is_postgresql else self._on_sqlite
        return cursor.all(statement, {**values, "texts": listed})
