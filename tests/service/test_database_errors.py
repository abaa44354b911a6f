"""What a database can be short of being usable, each said in a word of its own."""

from __future__ import annotations

import sqlite3
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scene import Scene
from waitctl import Database, WaitSchedulingService
from waitctl.domain.errors import (
    DatabaseError,
    DatabaseNotFoundError,
    DatabaseReadOnlyError,
    DatabaseUnreachableError,
    InvalidSettingError,
    SchemaVersionError,
)

if TYPE_CHECKING:
    from tests.conftest import Cluster


def look(url: str, *, create: bool = True) -> None:
    with Database(url, create=create) as database:
        WaitSchedulingService(database).list_waits()


def test_nobody_listens_there() -> None:
    with pytest.raises(DatabaseUnreachableError) as caught:
        look("postgresql://somebody:s3cret@127.0.0.1:1/waits")
    assert "s3cret" not in caught.value.message
    assert "\n" not in caught.value.message


def test_no_such_database(cluster: Cluster) -> None:
    with pytest.raises(DatabaseUnreachableError, match="does not exist"):
        look(cluster.database_url("no_such_database"))


def test_postgresql_without_our_tables_is_not_migrated_behind_anybodys_back(cluster: Cluster) -> None:
    name = f"waitctl_{uuid.uuid4().hex}"
    url = cluster.create(name)
    try:
        with pytest.raises(SchemaVersionError) as caught:
            look(url)
        assert caught.value.hint == "run: waitctl db upgrade"
        with Database(url) as database:
            assert database.current_revision() is None
            database.upgrade()
            database.upgrade()
        look(url)
    finally:
        cluster.drop(name)


def test_schema_newer_than_ours(scene: Scene) -> None:
    scene.create()
    scene.sql("UPDATE waitctl_alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaVersionError, match="newer"):
        look(scene.url)
    with Database(scene.url) as database, pytest.raises(SchemaVersionError, match="newer"):
        database.upgrade()


def test_read_only_sqlite(sqlite_scene: Scene) -> None:
    wait = sqlite_scene.create().wait
    path = sqlite_scene.database.path
    with Database(f"sqlite:///file:{path}?mode=ro&uri=true") as database:
        service = WaitSchedulingService(database)
        assert service.get_wait_status(wait.id).wait == wait
        with pytest.raises(DatabaseReadOnlyError):
            service.cancel_wait(wait.id)
    assert sqlite_scene.statuses(wait) == "scheduled"


def test_read_only_postgresql(postgres_scene: Scene) -> None:
    postgres_scene.sql(f"ALTER DATABASE {postgres_scene.database.url.database} SET default_transaction_read_only = on")
    postgres_scene.database.close()
    with pytest.raises(DatabaseReadOnlyError):
        postgres_scene.create()


@pytest.mark.parametrize("content", [b"not a database, really not" * 100, b"\0" * 5000])
def test_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(DatabaseError):
        look(f"sqlite:///{path}")
    assert path.read_bytes() == content


def test_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnreachableError):
        look(f"sqlite:///{tmp_path}")


def test_reading_makes_no_database_unless_it_may(tmp_path: Path) -> None:
    path = tmp_path / "new" / "waits.db"
    with pytest.raises(DatabaseNotFoundError, match=str(path)):
        look(f"sqlite:///{path}", create=False)
    assert not path.parent.exists()
    look(f"sqlite:///{path}")
    assert path.stat().st_mode & 0o777 == 0o600


def test_file_under_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseUnreachableError):
        look(f"sqlite:///{tmp_path}/file/waits.db")


def test_file_of_another_application_gets_our_tables_beside_its_own(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
        connection.execute("INSERT INTO customers VALUES ('ada')")
    connection.close()
    look(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM customers").fetchall() == [("ada",)]
    connection.close()


@pytest.mark.parametrize(
    "url", ["", "waits.db", "mysql://x/y", "sqlite://", "sqlite:///:memory:", "postgresql+asyncpg://x/y"]
)
def test_url_that_is_none(url: str) -> None:
    with pytest.raises(InvalidSettingError):
        Database(url)
