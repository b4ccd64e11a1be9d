"""Exports of events as Parquet files. Needs pyarrow: ``pip install 'amie-engine[parquet]'``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from amie_engine.audit.export_format import END, FORMAT, INTEGERS, End, Header
from amie_engine.errors import DependencyMissing, ExportUnreadable
from amie_engine.log.whole import STORED_COLUMNS

__all__ = ["MAGIC", "ParquetReader", "ParquetWriter"]

MAGIC = b"PAR1"
"""What a Parquet file begins with."""

_GROUP_ROWS = 5000
_GROUP_CHARACTERS = 32 * 2**20
"""A group of rows is written once it has as many of either: it stands in memory until then."""

_PAGE = 500
_DOCUMENTS = tuple(STORED_COLUMNS.index(name) for name in ("facts", "document"))


class ParquetWriter:
    """Writes an export as a Parquet file: integers as int64, everything else as text. Header and end stand in
    the file's metadata.

    Raises:
        DependencyMissing: pyarrow is not installed.
    """

    def __init__(self, stream: BinaryIO, header: Header) -> None:
        self._arrow, parquet = _pyarrow()
        fields = [
            (name, self._arrow.int64() if name in INTEGERS else self._arrow.string())
            for name in STORED_COLUMNS
        ]
        self._schema = self._arrow.schema(fields, metadata={FORMAT: json.dumps(header.as_json())})
        self._writer = parquet.ParquetWriter(stream, self._schema, compression="zstd")
        self._rows: list[tuple[Any, ...]] = []
        self._characters = 0

    def write(self, row: tuple[Any, ...]) -> None:
        """Write an event."""
        self._rows.append(row)
        self._characters += sum(len(row[index] or "") for index in _DOCUMENTS)
        if len(self._rows) >= _GROUP_ROWS or self._characters >= _GROUP_CHARACTERS:
            self._write_group()

    def finish(self, end: End) -> None:
        """Write the end."""
        self._write_group()
        self._writer.add_key_value_metadata({END: json.dumps(end.as_json())})

    def close(self) -> None:
        """Complete the file, as far as it was written."""
        self._writer.close()

    def _write_group(self) -> None:
        if not self._rows:
            return
        columns = [
            self._arrow.array(values, field.type)
            for values, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
        ]
        self._writer.write_batch(self._arrow.record_batch(columns, schema=self._schema))
        self._rows.clear()
        self._characters = 0


class ParquetReader:
    """Reads an export from a Parquet file.

    Raises:
        DependencyMissing: pyarrow is not installed.
        ExportUnreadable: The file is no whole export.
    """

    def __init__(self, file: Path, name: str) -> None:
        self._arrow, parquet = _pyarrow()
        self._name = name
        try:
            self._file = parquet.ParquetFile(file)
        except (OSError, self._arrow.ArrowException) as error:
            raise self._damaged() from error
        metadata = self._file.metadata.metadata or {}
        self.header = Header.read(_json(metadata.get(FORMAT.encode())), name)
        self._end = End.read(_json(metadata.get(END.encode())))
        try:
            names = self._file.schema_arrow.names
        except (UnicodeDecodeError, self._arrow.ArrowException) as error:
            raise self._damaged() from error
        if names != list(STORED_COLUMNS):
            raise self._damaged()

    def end(self) -> End | None:
        """Return the end of the export; None where it has none."""
        return self._end

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the events."""
        try:
            for batch in self._file.iter_batches(_PAGE):
                yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
        except (OSError, self._arrow.ArrowException, UnicodeDecodeError) as error:
            raise self._damaged() from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _damaged(self) -> ExportUnreadable:
        return ExportUnreadable(
            f"{self._name} is no whole Parquet file of an export: it was cut off or damaged."
        )


def _json(text: bytes | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise DependencyMissing(
            "Parquet files need pyarrow, which is not installed.",
            hint="Install it: pip install 'amie-engine[parquet]'.",
        ) from error
    return pyarrow, parquet
