"""Moving a database: out, in, out again, whichever kind each is of."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Cluster
from tests.invariants import invariants
from tests.moving import exported, fill, imported
from tests.scene import Scene
from waitctl.domain.exports import read_exactly
from waitctl.infrastructure.schema import metadata
from waitctl.infrastructure.store.statements.moving import LEFT, MOVED

NewUrl = Callable[[str], str]


@pytest.fixture
def new_url(cluster_and_template: tuple[Cluster, str], tmp_path: Path) -> Iterator[NewUrl]:
    """Makes an empty database of the kind that it is told."""
    cluster, template = cluster_and_template
    made: list[str] = []

    def make(kind: str) -> str:
        name = f"waitctl_{uuid.uuid4().hex}"
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / name}.db"
        made.append(name)
        return cluster.create(name, template)

    yield make
    for name in made:
        cluster.drop(name)


@pytest.fixture
def filled(scene: Scene, tmp_path: Path) -> Scene:
    return fill(scene, tmp_path)


def test_every_table_moves_or_is_left_on_purpose() -> None:
    moved = [each.table.name for each in MOVED]
    assert sorted([*moved, *LEFT]) == sorted(metadata.tables)
    assert not set(moved) & set(LEFT)
    before: set[str] = set()
    for each in MOVED:
        assert {key.column.table.name for key in each.table.foreign_keys} <= before
        before.add(each.table.name)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_out_and_in_and_out_again_is_the_same(filled: Scene, new_url: NewUrl, kind: str) -> None:
    """There and back again, with something in every table."""
    before = exported(filled.url)
    counts = read_exactly(before.splitlines()[-1].decode())["counts"]
    assert [name for name, count in counts.items() if not count] == []
    there = new_url(kind)
    done = imported(there, before)
    assert (done.to_json()["matches"], done.counts) == (True, counts)
    assert exported(there) == before
    back = new_url("sqlite" if filled.database.is_sqlite else "postgresql")
    imported(back, exported(there))
    assert exported(back) == before
    for url in (there, back):
        moved = Scene(url)
        moved.database.write(invariants)
        moved.database.close()
