"""A fresh database for each try: a file, or a schema that is emptied."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import sqlalchemy
from sqlalchemy.sql.ddl import CreateSchema, DropSchema

from amie_engine.log.connecting import engine_for_url
from amie_engine.log.database import Database
from amie_engine.log.migrate import migrate
from amie_engine.log.schema import VERSION_TABLE, events, log_head, metadata

__all__ = ["Databases", "PostgreSQLSchema", "SQLiteFiles"]


class Databases(Protocol):
    """Gives one fresh database after the other."""

    def fresh(self, folder: Path, *, from_nothing: bool) -> str:
        """Return the URL of a database with an empty log; or of one that is still to be made."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class SQLiteFiles:
    """SQLite: a copy of a file with an empty log.

    Args:
        folder: For that file.
    """

    def __init__(self, folder: Path) -> None:
        self._template = folder / "empty.db"

    def __enter__(self) -> Self:
        database = Database(f"sqlite:///{self._template}")
        migrate(database)
        database.keep_write_ahead_log()
        database.close()
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def fresh(self, folder: Path, *, from_nothing: bool) -> str:
        """Return the URL of a file with an empty log; or of one that is still to be made."""
        file = folder / "amie.db"
        if not from_nothing:
            shutil.copyfile(self._template, file)
        return f"sqlite:///{file}"


class PostgreSQLSchema:
    """PostgreSQL: a schema of its own, whose tables are emptied each time; dropped at the end.

    Args:
        server: The URL of a database in which schemas may be made.
        name: The schema's name; there must be none such.
    """

    def __init__(self, server: str, name: str) -> None:
        self._server = engine_for_url(server)
        self._name = name
        url = sqlalchemy.make_url(server)
        self._url = url.update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(False)
        self._schema: Any = None
        self._head: Any = None

    def __enter__(self) -> Self:
        with self._server.begin() as connection:
            connection.execute(CreateSchema(self._name))
        database = Database(self._url)
        migrate(database)
        database.close()
        self._schema = engine_for_url(self._url)
        with self._schema.connect() as connection:
            self._head = dict(connection.execute(log_head.select()).mappings().one())
        return self

    def __exit__(self, *_: object) -> None:
        self._schema.dispose()
        with self._server.begin() as connection:
            connection.execute(DropSchema(self._name, cascade=True))
        self._server.dispose()

    def fresh(self, folder: Path, *, from_nothing: bool) -> str:
        """Return the URL of the schema, with an empty log."""
        ours = [table.name for table in metadata.sorted_tables]
        names = ", ".join(ours)
        with self._schema.begin() as connection:
            for table in sqlalchemy.inspect(connection).get_table_names():
                if table not in (*ours, VERSION_TABLE):  # the site's own
                    connection.exec_driver_sql(f'DROP TABLE "{table}"')
            connection.exec_driver_sql(f"ALTER TABLE {events.name} DISABLE TRIGGER USER")
            connection.exec_driver_sql(f"TRUNCATE {names}")
            connection.exec_driver_sql(f"ALTER TABLE {events.name} ENABLE TRIGGER USER")
            connection.execute(log_head.insert().values(self._head))
        return self._url
