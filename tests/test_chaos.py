"""A short form of the chaos suite: every part, a few minutes in all. `make chaos` runs the whole of it."""

from __future__ import annotations

import pytest

from tests.chaos.__main__ import run
from tests.chaos.parts import NIGHTLY, PARTS

SHARE = 0.06
"""Of the full form."""

pytestmark = pytest.mark.long


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PARTS)
def test_faults_stay_where_they_happen(name: str) -> None:
    assert run(name, seed=20261129, share=SHARE)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NIGHTLY)
def test_what_a_night_tries_begins_well(name: str) -> None:
    assert run(name, seed=20261129, share=0.001)
