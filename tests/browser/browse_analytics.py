"""The page of `waitctl analytics --html` in headless Chromium, from the disk: bars are seen, nothing is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.browse_dashboard import AXE
from tests.scene import Scene
from waitctl.application.operations.analytics import analyse
from waitctl.application.operations.analytics_page import write_page
from waitctl.domain.analytics import Dimension
from waitctl.domain.filters import WaitFilter

WIDTHS = (360, 1440)
ODD = '<script>alert("no")</script>&\u202e"'


@pytest.fixture
def file(sqlite_url: str, tmp_path: Path) -> Path:
    """The page of waits that ended in every way, under names that nobody should trust."""
    scene = Scene(sqlite_url)
    for number, duration in enumerate(("1m", "2m", "5m", "30m")):
        scene.create(duration, f"due-{number}", workflow_id=ODD, step_id="s" * 200)
    scene.listen(execution="by event", workflow_id="sign-up")
    scene.listen("sms_reply", execution="by timeout", timeout="1m", workflow_id="sign-up")
    scene.waits.cancel_wait(scene.create(execution="cancelled").wait.id)
    scene.at(3).record()
    scene.at(45).tick(only=frozenset({"due", "expired"}))
    path = tmp_path / "report.html"
    with scene.database:
        write_page(path, analyse(scene.database, WaitFilter(), by=Dimension.WORKFLOW))
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_bars_are_seen_and_nothing_is_asked_for(browser: Browser, file: Path, scheme: Any) -> None:
    page = browser.new_context(color_scheme=scheme, offline=True).new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.goto(file.as_uri())
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over == 0, (width, over)
        boxes = page.evaluate(
            "[...document.querySelectorAll('td svg rect')].map(each => {const box = each.getBoundingClientRect();"
            " return [box.left, box.right, box.width, box.height, getComputedStyle(each).fill]})"
        )
        assert len(boxes) >= 6
        for left, right, wide, high, fill in boxes:
            assert 0 <= left < right <= width, (width, left, right)
            assert wide >= 1 and high >= 10, (width, wide, high)
            assert fill != "rgb(0, 0, 0)", "the style holds"
    assert (asked, said) == ([file.as_uri()], [])
    assert "alert" in page.inner_text("main"), "it is a name like any other"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_within_everybodys_reach(browser: Browser, file: Path, scheme: Any) -> None:
    page = browser.new_context(color_scheme=scheme, bypass_csp=True).new_page()
    page.goto(file.as_uri())
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run()")["violations"]
    assert [(each["id"], each["nodes"][0]["target"]) for each in found] == []
