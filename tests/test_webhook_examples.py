"""The examples of webhooks, each run as a process, as their comments say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.processes import Waitctl
from tests.signing import OLD, SENDERS, signed

EXAMPLES = Path(__file__).parent.parent / "examples" / "webhooks"
NOW = "2026-03-02T09:00:00Z"


@pytest.fixture
def run(tmp_path: Path, sqlite_url: str) -> Waitctl:
    return Waitctl(tmp_path, sqlite_url)


def shell(run: Waitctl, script: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell among the examples, with `waitctl` on the path."""
    program = run.folder / "bin" / "waitctl"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m waitctl "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    environment = run.environment({"PATH": path, "WAITCTL_AS_OF": NOW, **env})
    return subprocess.run(
        ["sh", "-c", script], cwd=EXAMPLES, env=environment, capture_output=True, text=True, check=False, timeout=110
    )


def events(run: Waitctl) -> list[Any]:
    return list(run("event", "list", "-o", "json").ok().json["events"])


def test_the_hook_takes_in_what_is_signed_and_keeps_what_is_not(run: Waitctl) -> None:
    [hook] = json.loads((EXAMPLES / "hooks.json").read_text())
    # The sender hears a number and nothing else: 204, or 500 where the command fails.
    assert not hook["include-command-output-in-response"] and not hook["include-command-output-in-response-on-error"]
    files = {each["envname"]: each["source"] for each in hook["pass-file-to-command"]}
    assert files == {"HOOK_BODY": "raw-request-body", "HOOK_HEADERS": "entire-headers"}
    arguments = " ".join(each["name"] for each in hook["pass-arguments-to-command"])
    (run.folder / "config.toml").write_text(
        '[sources.sendgrid]\nformat = "sendgrid"\nsecret_env = "KEY"\ncontact = "user_id"\n'
    )
    body = (EXAMPLES / "sendgrid.json").read_bytes()
    request = signed("sendgrid", datetime.fromisoformat(NOW).astimezone(UTC), OLD, body)
    headers = run.folder / "headers"
    headers.write_text(json.dumps({name: [value] for name, value in request.headers.items()}))
    (run.folder / "body").write_bytes(body)
    env = {
        "HOOK_BODY": str(run.folder / "body"),
        "HOOK_HEADERS": str(headers),
        "WAITCTL_CONFIG": str(run.folder / "config.toml"),
        "KEY": SENDERS["sendgrid"].secret(OLD),
    }
    command = f"{hook['execute-command']} {arguments}"
    taken = shell(run, command, **env)
    assert taken.returncode == 0, taken
    totals = json.loads(taken.stdout)
    assert (totals["verified"], totals["recorded"], totals["ignored_types"]) == (True, 2, {"sendgrid.processed": 1})
    assert {event["contact"] for event in events(run)} == {"u-17"}

    (run.folder / "body").write_bytes(body + b" ")
    refused = shell(run, command, **env)
    assert (refused.returncode, json.loads(refused.stdout)["rejected"]) == (1, 1)  # webhook answers 500
    assert len(run("event", "quarantine", "list", "-o", "id").ok().lines) == 1
    assert shell(run, command, **env | {"KEY": ""}).returncode == 2

    broken = run.folder / "broken" / "cryptography.py"
    broken.parent.mkdir()
    broken.write_text("raise RuntimeError('broken')")
    path = f"{broken.parent}{os.pathsep}{run.environment({})['PYTHONPATH']}"
    failed = shell(run, command, **env, PYTHONPATH=path)
    assert (failed.returncode, failed.stdout, "broken" in failed.stderr) == (1, "", True), failed
    assert len(events(run)) == 2


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ("cloudevent.json", ["visit-1"]),
        ("cloudevents-batch.json", ["form-1", "visit-2"]),
        ("cloudevents.ndjson", ["visit-4", "visit-5"]),
        ("binary.json --headers-file binary.headers", ["visit-3"]),
    ],
)
def test_cloudevents_in_every_mode(run: Waitctl, arguments: str, ids: list[str]) -> None:
    done = shell(run, f"waitctl event ingest --format cloudevents {arguments} -o json")
    assert done.returncode == 0, done
    assert sorted(event["id"].split()[-1] for event in events(run)) == ids


def test_the_log_becomes_page_visits_once(run: Waitctl) -> None:
    command = "./page-visits.sh < access.log | waitctl event ingest --source site -o json"
    for recorded in (2, 0):
        done = shell(run, command)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["recorded"] == recorded
    found = {event["contact"]: event for event in events(run)}
    assert found["ada@example.org"]["data"] == {"url": "/plan"}
    assert found["bob@example.org"]["data"] == {"url": "/a\\x22b?q=1"}
    assert found["bob@example.org"]["occurred_at"] == "2026-03-02T08:58:04Z"
    assert found["bob@example.org"]["source"] == "site"


def test_long_paths_are_different_visits(run: Waitctl) -> None:
    visit = '192.0.2.7 - ada@example.org [02/Mar/2026:08:58:01 +0000] "GET /{} HTTP/1.1" 200 5120 "-" "-"\n'
    log = run.folder / "long.log"
    log.write_text("".join(visit.format("a" * length + end) for length in (10, 150, 400) for end in "xy"))
    done = shell(run, f"./page-visits.sh < {log} | waitctl event ingest --source site -o json")
    assert (done.returncode, json.loads(done.stdout)["recorded"]) == (0, 6), done
