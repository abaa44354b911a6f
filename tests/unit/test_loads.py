"""Which events one transaction takes on: never too much, each contact's in their order, and all of them in the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitctl.infrastructure.store.correlation import loads
from waitctl.infrastructure.store.correlation.loads import PAIRS, Load, TooManyPairsError

_MOST = PAIRS * 3 // 2
LOADS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([0, 1000, 90_000]), st.integers(0, _MOST), st.integers(0, 10)),
    max_size=30,
).map(lambda rows: [Load(str(n), c, size, costly, costly + plain) for n, (c, size, costly, plain) in enumerate(rows)])


@given(LOADS)
def test_the_parts_are_all_events_in_each_contacts_order_and_none_is_too_much(given_: list[Load]) -> None:
    by_id = {load.event_id: load for load in given_}
    parts = TooManyPairsError(given_).parts()
    taken = [event_id for part in parts for event_id in part]
    assert sorted(taken) == sorted(by_id)
    for contact in "abc":
        theirs = [int(event_id) for event_id in taken if by_id[event_id].contact_id == contact]
        assert theirs == sorted(theirs)
    for part in parts:
        costs = [cost for event_id in part if (cost := by_id[event_id].cost)]
        assert sum(costs) <= PAIRS or len(costs) == 1


@pytest.mark.parametrize(
    ("costly", "listeners", "size", "cost"),
    [(0, 0, 0, 0), (3, 3, 0, 3), (3, 13, 0, 4), (3, 3, 40_000, 6), (0, 9, 200_000, 0)],
)
def test_what_so_many_listeners_cost(costly: int, listeners: int, size: int, cost: int) -> None:
    assert loads.cost_in_pairs(costly, listeners, size) == cost


def test_others_go_on_beside_one_who_has_too_much() -> None:
    given_ = [Load("1", "ada", 0, PAIRS, PAIRS), Load("2", "ada", 0, 1, 1), Load("3", "bob", 0, 0, 0)]
    assert TooManyPairsError(given_).parts() == [["1", "3"], ["2"]]
