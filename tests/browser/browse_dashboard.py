"""Every page in headless Chromium: nothing overflows, nothing is out of reach, actions do what they say.

Not part of `make test`, which needs no browser: `make browser` installs one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.signing import NEW
from tests.web.door import TOKENS, Client, door
from tests.web.test_web_pages import Stage
from waitctl import WaitSpec
from waitctl.web import live

AXE = Path(__file__).parent.parent.parent / ".tools" / "node_modules" / "axe-core" / "axe.min.js"
WIDTHS = (360, 800, 1440, 3840)


@pytest.fixture
def stage(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("HOOK_SECRET", NEW)
    made = Stage(url, tmp_path)
    with made.database:
        yield made


@pytest.fixture
def client(stage: Stage) -> Iterator[Client]:
    with door(stage.settings, allow_actions=True) as made:
        yield made


def come_in(browser: Browser, client: Client, **options: Any) -> Page:
    """A page of a browser that has shown its token."""
    page = browser.new_context(base_url=f"http://127.0.0.1:{client.port}", **options).new_page()
    page.goto("/waits?status=waiting")
    page.fill("input[name=token]", TOKENS["admin"])
    page.click("main button")
    page.wait_for_url("**/waits?status=waiting")
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_and_is_within_everybodys_reach(
    browser: Browser, client: Client, stage: Stage, scheme: str
) -> None:
    page = come_in(browser, client, color_scheme=scheme, bypass_csp=True)  # the checker is a script that is put in
    for path in stage.pages():
        page.goto(path)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert over == 0, (path, width, over)
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run()")["violations"]
        assert [(each["id"], each["nodes"][0]["target"]) for each in found] == [], path


def test_no_page_makes_the_browser_complain(browser: Browser, client: Client, stage: Stage) -> None:
    """No script of somebody's name runs, and the policy refuses nothing of ours."""
    page = come_in(browser, client)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    for path in stage.pages():
        page.goto(path)
    assert [line for line in said if "404 (Not Found)" not in line and "400 (Bad Request)" not in line] == []


@pytest.mark.parametrize("script", [True, False])
def test_what_a_person_clicks_happens_with_and_without_a_script(
    browser: Browser, client: Client, stage: Stage, script: bool
) -> None:
    page = come_in(browser, client, java_script_enabled=script)
    page.goto(f"/waits/{stage.timed.id}")
    page.fill("input[name=by]", "+2h")
    page.click("text=Reschedule")
    expect(page.locator(".said")).to_have_text("The wait has another instant.")
    page.fill("input[name=reason]", "they called")
    page.click("button:text-is('Resume')")
    expect(page.locator(".said")).to_have_text("The wait is resumed.")
    expect(page.locator(".timeline")).to_contain_text("they called")
    page.goto("/deliveries")
    page.click("table:has(caption:text-is('Deliveries')) a >> nth=0")
    page.click("text=Drop it")
    expect(page.locator("h1")).to_contain_text("dropped")
    page.goto("/quarantine")
    page.click("main table a >> nth=0")
    page.click("text=Forget it")
    expect(page.locator("main")).to_contain_text("Nothing was refused.")
    page.goto("/waits")
    page.check("input[value=resumed]")
    page.click("main form button")
    assert "status=resumed" in page.url
    expect(page.locator("tbody tr")).to_have_count(1)
    page.click("text=Leave")
    page.wait_for_url("**/login")


@pytest.mark.parametrize("script", [True, False])
def test_many_waits_are_planned_applied_and_undone_by_clicks(
    browser: Browser, client: Client, stage: Stage, script: bool
) -> None:
    page = come_in(browser, client, java_script_enabled=script)
    page.goto(f"/waits?execution={stage.timed.workflow_execution_id}&status=scheduled")
    page.click("text=Change all of these")
    page.select_option("select[name=action]", "cancel")
    page.fill("details.actions input[name=reason]", "the wrong list")
    page.click("text=Plan it")
    expect(page.locator(".said")).to_have_text("This is the plan: nothing has been changed yet.")
    assert stage.waits.get_wait_status(stage.timed.id).wait.status.is_open
    page.click("text=Apply it to 1 wait")
    expect(page.locator(".said")).to_have_text("The plan is applied.")
    assert stage.waits.get_wait_status(stage.timed.id).wait.status == "cancelled"
    page.click("button:text-is('Undo it')")
    expect(page.locator(".said")).to_have_text("The plan is undone.")
    assert stage.waits.get_wait_status(stage.timed.id).wait.status.is_open
    expect(page.locator("button:text-is('Undo it')")).to_have_count(0)


def test_an_open_page_looks_again_by_itself(browser: Browser, client: Client, stage: Stage) -> None:
    page = come_in(browser, client)
    with page.expect_response("**/live"):
        page.goto("/waits?execution=order-99")
    expect(page.locator("main")).to_contain_text("There are no such waits.")
    stage.waits.create_fixed_time_wait("3h", WaitSpec("order-99"))
    expect(page.locator("tbody tr")).to_have_count(1, timeout=15_000)


def test_an_open_page_that_was_not_let_in_asks_again(
    browser: Browser, client: Client, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser by itself would not: it gives an event source up that was answered otherwise than with 200."""
    page = come_in(browser, client)
    page.clock.install()
    answered: list[int] = []
    page.on("response", lambda answer: answered.append(answer.status) if answer.url.endswith("/live") else None)
    with monkeypatch.context() as full:
        full.setattr(live, "MOST", 0)
        with page.expect_response("**/live"):
            page.goto("/waits?execution=order-98")
    for _ in range(100):  # until the page has heard that it was refused
        page.clock.fast_forward(15_000)
        if 200 in answered:
            break
    assert answered[0] == 429 and 200 in answered


def test_the_keyboard_leads_past_the_menu(browser: Browser, client: Client) -> None:
    page = come_in(browser, client)
    page.goto("/waits")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.getElementById('main').contains(document.activeElement)")
