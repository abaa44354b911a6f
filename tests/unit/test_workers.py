"""How much of a handler's a tick has in hand: what a killed one may cost an attempt."""

from __future__ import annotations

import pytest

from waitctl.application.deliveries.workers import HandlerWorkers, ResultQueue
from waitctl.domain.deliveries import RetryPolicy
from waitctl.domain.handlers import HandlerConfig


@pytest.mark.parametrize(
    ("config", "most"),
    [
        (HandlerConfig("h", python="m:f", concurrency=8), 4000),
        (HandlerConfig("h", python="m:f", concurrency=8, retry=RetryPolicy(max_attempts=2)), 8),
        (HandlerConfig("h", exec=("true",), batch=True, concurrency=1), 4000),
        (HandlerConfig("h", exec=("true",), batch=True, concurrency=1, retry=RetryPolicy(max_attempts=1)), 1000),
    ],
    ids=["quick", "few-attempts", "batch", "batch-few-attempts"],
)
def test_what_may_be_leased_ahead(config: HandlerConfig, most: int) -> None:
    """However quick it is, and however large a tick's batch may be."""
    lane = HandlerWorkers(config, ResultQueue(lambda: 0), 100_000)
    seen = []
    for _ in range(50):
        lane.took(lane.room(), lane.room())
        seen.append(max(lane.room(), lane.room_for_leased_batch()))
    assert max(seen) == most
