"""`waitctl bulk`: plan, apply, undo, on the command line."""

from __future__ import annotations

import json

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
