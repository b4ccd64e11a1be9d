"""URLs: which are understood, and what is said about the others. None of it tells a password."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from amie_engine.errors import DatabaseUnavailable, DatabaseUnfit
from amie_engine.log.database import Database

SECRET = "correct-horse"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "URL can't be read"),
        ("amie.db", "URL can't be read"),
        ("sqlite:/amie.db", "URL can't be read"),
        ("sqlite://host/amie.db", "URL can't be read"),
        ("sqlite:///amie.db?timeout=soon", "URL can't be read"),
        ("mysql://amie@127.0.0.1/amie", "can't live in a mysql database"),
        ("oracle+cx_oracle://amie@127.0.0.1/amie", "can't live in a oracle database"),
        ("postgresql+nodriver://amie@127.0.0.1/amie", "not installed"),
        ("sqlite+nodriver:///amie.db", "not installed"),
    ],
)
def test_what_is_no_url_of_ours_is_refused_at_once(url: str, message: str) -> None:
    with pytest.raises(DatabaseUnfit, match=message) as caught:
        Database(url)
    assert caught.value.hint


def test_a_password_with_a_bare_at_sign_is_refused_and_no_part_of_it_told() -> None:
    with pytest.raises(DatabaseUnfit) as caught:
        Database("postgresql://amie:s3cret@rest@127.0.0.1:1/amie")
    assert "%40" in caught.value.hint
    assert "rest" not in str(caught.value)


def test_a_server_that_is_not_there_is_unavailable_and_the_password_untold() -> None:
    database = Database(f"postgresql://amie:{SECRET}@127.0.0.1:1/amie?password={SECRET}&connect_timeout=2")
    assert SECRET not in repr(database)
    assert "amie" in repr(database)
    with pytest.raises(DatabaseUnavailable, match="refused") as caught, database.read():
        pass
    for error in (caught.value, caught.value.__cause__):
        assert SECRET not in str(error)
    assert caught.value.retryable
    database.close()


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://127.0.0.1:1/amie?PASSWORD={SECRET}",
        f"postgresql://127.0.0.1:1/amie?sslPassword={SECRET}",
        f"postgresql://127.0.0.1:1/host=127.0.0.1 password={SECRET}",
        f"postgresql://127.0.0.1:1/postgresql://amie:{SECRET}@127.0.0.1:1/amie",
        f"postgresql:///?dbname=host%3D127.0.0.1%20port%3D1%20password%3D{SECRET}",
        f"postgresql:///?dbname=postgresql://amie:{SECRET}@127.0.0.1:1/amie",
    ],
)
def test_a_password_is_untold_wherever_it_stands(url: str) -> None:
    database = Database(url)
    assert SECRET not in repr(database)
    with pytest.raises(DatabaseUnavailable) as caught, database.read():
        pass
    assert SECRET not in str(caught.value)
    database.close()


def test_an_option_that_the_driver_lacks_is_unavailable() -> None:
    database = Database("postgresql://amie@127.0.0.1:1/amie?colour=blue")
    with pytest.raises(DatabaseUnavailable, match="colour"), database.read():
        pass
    database.close()


def test_a_url_of_postgresql_means_the_driver_that_we_depend_on() -> None:
    for url in ("postgresql://h/d", "postgres://h/d", "postgresql+psycopg://h/d"):
        assert Database(url).url == "postgresql://h/d"


def test_a_path_may_have_any_character(tmp_path: Path) -> None:
    folder = tmp_path / "100% of ünïcode & spaces"
    folder.mkdir()
    database = Database(f"sqlite:///{folder}/amie.db")
    with database.write() as cursor:
        cursor._cursor.execute("CREATE TABLE t (x)")
    database.close()
    assert (folder / "amie.db").exists()


def test_an_engine_of_a_kind_that_the_log_cannot_live_in_is_refused() -> None:
    with pytest.raises(DatabaseUnfit, match="can't live in a mysql database"):
        Database(create_engine("mysql+pymysql://127.0.0.1/amie", module=sqlite3))


def test_asynchronous_drivers_are_refused() -> None:
    url = "postgresql+psycopg_async://127.0.0.1/amie"
    for database in (url, create_engine(url)):
        with pytest.raises(DatabaseUnfit, match="asynchronous driver"):
            Database(database)


def test_all_connections_in_use_is_said_so(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'a.db'}", pool_size=1, max_overflow=0, pool_timeout=0.01)
    database = Database(engine)
    with (
        engine.connect(),
        pytest.raises(DatabaseUnavailable, match="all of its connections are in use"),
        database.read(),
    ):
        pass
    engine.dispose()
