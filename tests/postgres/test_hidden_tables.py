"""A log that a role does not see: for its search_path, or for want of USAGE on the schema."""

from __future__ import annotations

import psycopg
import pytest

from amie_engine.engine import Engine
from amie_engine.errors import DatabaseSchemaMissing


@pytest.mark.parametrize("in_path", [True, False])
def test_the_schema_that_has_the_tables_is_named(server: str, in_path: bool) -> None:
    database, schema = "hidden_tables", "elsewhere"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}".encode())
        connection.execute(b"CREATE ROLE hidden LOGIN")
        base = server.replace("/postgres?", f"/{database}?")
        with psycopg.connect(base, autocommit=True) as inside:
            inside.execute(
                f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.amie_schema_version (x int)".encode()
            )
            if not in_path:
                inside.execute(f"GRANT USAGE ON SCHEMA {schema} TO hidden".encode())
        asked = base.replace("postgres:@", "hidden:@")
        asked += f"&options=-csearch_path%3D{schema}" if in_path else ""
        try:
            with pytest.raises(
                DatabaseSchemaMissing, match="there are some in the schema elsewhere"
            ) as caught:
                Engine(asked, site="NCSA")
        finally:
            connection.execute(f"DROP DATABASE {database} WITH (FORCE)".encode())
            connection.execute(b"DROP ROLE hidden")
    assert "SET search_path = elsewhere" in caught.value.hint
    assert "USAGE" in caught.value.hint


def test_where_there_are_none_at_all_migrating_is_the_hint(server: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(b"CREATE DATABASE no_tables")
        try:
            with pytest.raises(DatabaseSchemaMissing, match=r"has no amie-engine tables\.") as caught:
                Engine(server.replace("/postgres?", "/no_tables?"), site="NCSA")
        finally:
            connection.execute(b"DROP DATABASE no_tables WITH (FORCE)")
    assert "amie-engine migrate" in caught.value.hint
