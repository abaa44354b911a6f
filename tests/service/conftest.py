"""Each test of the services gets a scene on each database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scene import Scene


@pytest.fixture
def scene(url: str) -> Iterator[Scene]:
    scene = Scene(url)
    yield scene
    scene.database.close()


@pytest.fixture
def sqlite_scene(migrated_sqlite_url: str) -> Iterator[Scene]:
    scene = Scene(migrated_sqlite_url)
    yield scene
    scene.database.close()


@pytest.fixture
def postgres_scene(postgres_url: str) -> Iterator[Scene]:
    scene = Scene(postgres_url)
    yield scene
    scene.database.close()
