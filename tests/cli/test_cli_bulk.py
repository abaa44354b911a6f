"""`waitctl bulk`: plan, apply, undo, on the command line."""

from __future__ import annotations

import json

import pytest

from tests.cli.processes import Waitctl

NOBODY = "00000000-0000-7000-8000-000000000000"


def campaign(run: Waitctl, number: int = 4) -> list[str]:
    """The ids of waits of the workflow ``spring``, one of them for an event."""
    rows = [{"type": "fixed-time", "duration": f"{hours}d", "execution": f"e{hours}"} for hours in range(1, number)]
    rows.append({"type": "for-event", "types": "email_open", "contact": "ada", "timeout": "2d", "execution": "e0"})
    for row in rows:
        row["workflow"] = "spring"
    run("create", "--file", "-", "-q", stdin="".join(json.dumps(row) + "\n" for row in rows)).ok()
    return run("list", "--sort", "created", "-o", "id").ok().lines


def test_the_walk_of_a_plan(run_on: Waitctl) -> None:
    ids = campaign(run_on)
    planned = run_on("bulk", "cancel", "--workflow", "spring", "--reason", "wrong list", "-o", "json").ok().json
    assert list(planned) == ["plan_id", "matched", "sample", "expires_at"]
    assert planned["matched"] == 4
    assert [each["id"] for each in planned["sample"]] == ids
    assert run_on("pending", "-o", "json").ok().json["open"] == 4, "a plan changes nothing"

    plan = planned["plan_id"]
    done = run_on("bulk", "apply", plan[-12:], "-o", "json").ok().json
    assert done == {"plan_id": plan, "applied": 4, "skipped": {}}
    assert run_on("pending", "-o", "json").ok().json["open"] == 0
    assert f"cancelled by plan {plan}: wrong list" in run_on("history", ids[0]).ok().out
    assert run_on("bulk", "apply", plan, "-o", "json").json_error(4)["code"] == "conflict"

    undone = run_on("bulk", "undo", plan, "-o", "json").ok().json
    assert undone == {"plan_id": plan, "undone": 4, "skipped": {}}
    assert run_on("pending", "-o", "json").ok().json["by_status"] == {"scheduled": 3, "waiting": 1}
    for command in ("undo", "apply"):
        assert run_on("bulk", command, plan, "-o", "json").json_error(4)["code"] == "conflict"
    [shown] = run_on("bulk", "list", "-o", "json").ok().json["plans"]
    assert (shown["plan_id"], shown["status"], shown["applied"], shown["undone"]) == (plan, "undone", 4, 4)


def test_a_plan_of_too_many_changes_nothing(run_on: Waitctl) -> None:
    campaign(run_on)
    plan = run_on("bulk", "cancel", "--all", "-o", "id").ok().lines[0]
    assert run_on("bulk", "apply", plan, "--max", "3", "-o", "json").json_error(4)["code"] == "plan_too_large"
    assert run_on("pending", "-o", "json").ok().json["open"] == 4
    assert run_on("bulk", "apply", plan, "--max", "4", "-o", "json").ok().json["applied"] == 4


def test_what_was_not_touched_is_told(run_on: Waitctl) -> None:
    first, *_ = campaign(run_on)
    plan = run_on("bulk", "reschedule", "--all", "--by", "+1d", "-o", "json").ok().json
    assert [entry["to"] > entry["from"] for entry in plan["sample"]] == [True] * 4
    run_on("cancel", first).ok()
    done = run_on("bulk", "apply", plan["plan_id"])
    assert (done.code, done.lines) == (0, ["3 waits changed, left as they are: 1 ended"])
    shown = run_on("bulk", "show", plan["plan_id"], "-o", "json").ok().json
    assert (shown["applied"], shown["skipped"]) == (3, {"ended": 1})
    assert sorted(entry["outcome"] for entry in shown["sample"]) == ["applied", "applied", "applied", "ended"]
    assert run_on("bulk", "undo", plan["plan_id"]).lines == ["3 waits as before"]


def test_what_is_refused(run: Waitctl) -> None:
    campaign(run)
    for command in ("apply", "undo", "show"):
        assert run("bulk", command, NOBODY, "-o", "json").json_error(3)["code"] == "plan_not_found"
    plan = run("bulk", "resume", "--all", "-o", "id").ok().lines[0]
    assert run("bulk", "apply", plan).ok().lines == ["4 waits changed"]
    assert "cannot be undone" in run("bulk", "undo", plan).error(4)
    late = {"WAITCTL_AS_OF": "2099-01-01T00:00:00Z"}
    plan = run("bulk", "retry", "--all", "-o", "id").ok().lines[0]
    assert "has expired" in run("bulk", "apply", plan, env=late).error(4)


@pytest.mark.parametrize("output", ["human", "wide", "json", "ndjson", "yaml", "csv", "id"])
def test_every_form_of_output(run: Waitctl, output: str) -> None:
    campaign(run)
    plan = run("bulk", "cancel", "--all", "-o", "id").ok().lines[0]
    for arguments in (("list",), ("show", plan), ("apply", plan), ("undo", plan)):
        printed = run("bulk", *arguments, "-o", output)
        assert printed.code == 0
        assert plan[-12:] in printed.out or output in {"human", "wide"}
