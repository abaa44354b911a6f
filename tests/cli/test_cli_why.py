"""`why` and `event why`, as processes."""

from __future__ import annotations

from tests.cli.processes import Waitctl


def test_why_in_words_and_documents(run_on: Waitctl) -> None:
    wait = (
        run_on("create", "for-event", "email_click", "-c", "ada", "--match", "plan=free", "-o", "id").ok().out.strip()
    )
    event = run_on("event", "record", "email_click", "-c", "ada", "--data", '{"plan": "\\u001b[31mpro"}', "-o", "json")
    event_id = event.ok().json["event_id"]

    first, second, header, row = run_on("why", wait).ok().lines
    assert first == f"{wait}  waiting"
    assert second == "waiting for email_click of ada"
    assert header.split() == "EVENT TYPE RECEIVED NOT MATCHED BECAUSE".split()
    assert row.startswith(event_id[-12:])
    assert "\x1b" not in row
    assert "wanted `free`" in row

    document = run_on("why", wait, "-o", "json").ok().json
    assert list(document) == ["id", "status", "resolution", "waiting_for", "listeners", "misses"]
    about_event = run_on("event", "why", event_id, "-o", "json").ok().json
    assert list(about_event) == ["event", "misses"]
    assert about_event["misses"] == document["misses"]
    assert run_on("event", "why", event_id).ok().lines[-1].startswith(wait[-12:])


def test_nothing_came_near(run: Waitctl) -> None:
    wait = run("create", "for-event", "email_click", "-c", "ada", "-o", "id").ok().out.strip()
    said = run("why", wait)
    assert (said.code, said.err) == (0, "nothing came near\n")
    assert run("why", "00000000-0000-7000-8000-000000000000").error(3)
    assert run("event", "why", "00000000-0000-7000-8000-000000000000").error(3)
    assert run("why", wait, "--limit", "0", "-o", "json").json_error(2)["code"] == "usage"
