"""Who has caused a wait, and its event, is handed on as links, never as a parent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scene import Scene
from waitctl.domain.traces import read_traceparent, trace_links

WAITS = f"00-{'a' * 32}-{'1' * 16}-01"
EVENTS = f"00-{'b' * 32}-{'2' * 16}-00"


def test_a_handler_hears_of_both(scene: Scene, tmp_path: Path) -> None:
    out = scene.handle(
        tmp_path, 'cat > $OUT; echo "$WAITCTL_TRACE_LINKS" > $OUT.links; echo "$TRACEPARENT" > $OUT.parent'
    )
    made = scene.listen(handler="nudge", traceparent=WAITS)
    assert scene.listen(handler="nudge").id == made.id, "it is nothing that two creates differ in"
    scene.record(data={"traceparent": EVENTS})
    scene.tick()
    assert json.loads(out.read_text())["trace_links"] == [WAITS, EVENTS]
    assert Path(f"{out}.links").read_text() == f"{WAITS} {EVENTS}\n"
    assert Path(f"{out}.parent").read_text() == "\n"


def test_of_what_is_no_trace_nothing_is_said(scene: Scene, tmp_path: Path) -> None:
    out = scene.handle(tmp_path, 'cat > $OUT; echo "${WAITCTL_TRACE_LINKS-unset}" > $OUT.links')
    wait = scene.create("1m", handler="nudge", traceparent="not-a-trace\nx").wait
    scene.at(2).tick()
    assert json.loads(out.read_text())["trace_links"] == []
    assert Path(f"{out}.links").read_text() == "unset\n"
    assert "traceparent" not in scene.get(wait).wait_config


@pytest.mark.parametrize(
    "value", [None, 7, "", WAITS.upper(), f"{WAITS}\n", f"ff{WAITS[2:]}", f"00-{'0' * 32}-{'1' * 16}-01", [WAITS]]
)
def test_what_is_no_trace(value: object) -> None:
    assert read_traceparent(value) is None


def test_links() -> None:
    assert trace_links({"traceparent": WAITS}, {"traceparent": WAITS}) == [WAITS]
    assert trace_links({}, None) == []
