"""The commands of operators: as users run them, with what they print and how they exit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.processes import Waitctl
from waitctl.application.operations.doctor import CHECKS


def test_a_day_of_an_operator(run_on: Waitctl, tmp_path: Path) -> None:
    run = run_on
    assert run("check").code == 2
    run("create", "fixed-time", "1m", "-e", "old", "--from", "2026-01-01T00:00:00Z").ok()
    run("create", "fixed-time", "3d", "-e", "sleeps").ok()
    assert run("pending", "-o", "json").ok().json["overdue"] == 1
    run("tick", "-q").ok()

    (tick,) = run("ticks", "-o", "json").ok().json["ticks"]
    assert (tick["resumed"], tick["gap_seconds"], tick["stopped"]) == (1, None, "idle")
    assert "resumed 1" in run("ticks").ok().out
    assert run("ticks", "--since", "2026-01-01T00:00:00Z", "--limit", "1", "-o", "ndjson").ok().json == tick

    found = run("doctor", "-o", "json").ok().json
    assert [finding["check"] for finding in found] == list(CHECKS)
    assert {finding["state"] for finding in found} == {"ok"}
    assert list(found[0]) == ["check", "state", "detail", "remedy"]
    assert re.search(r"^ok +last_tick +\d", run("doctor").ok().out, re.MULTILINE)

    (line,) = run("check").ok().lines
    assert re.fullmatch(r"WAITCTL OK - 1 open, 0 overdue, the last tick was .* ago \| overdue_age=0s;;300;0 .*", line)
    families = {family.name for family in text_string_to_metric_families(run("metrics").ok().out)}
    assert {"waitctl_waits", "waitctl_resolved", "waitctl_lateness_seconds"} <= families
    textfile = tmp_path / "waitctl.prom"
    assert run("metrics", "--textfile", str(textfile)).ok().out == ""
    assert "waitctl_last_tick_age_seconds" in textfile.read_text()
    top = run("top").ok().out
    assert "served" in top and "sleeps" in top and "1 ended" not in top

    found = run("analytics", "--by", "type", "-o", "json").ok().json
    assert list(found) == ["since", "until", "by", "includes_pruned", "total", "groups"]
    assert [(row["type"], row["waits"], row["outcomes"]["resumed"]) for row in found["groups"]] == [
        ("fixed_time", 1, 1)
    ]
    assert "1 resumed" in run("analytics").ok().out and "fixed_time" in run("analytics", "--by", "type").ok().out
    assert run("analytics", "--by", "type", "-o", "csv").ok().lines[1].startswith("fixed_time,1,1,0,0,0,1,")
    report = tmp_path / "report.html"
    assert run("analytics", "-q", "--html", str(report)).ok().out == ""
    assert report.read_text().startswith("<!doctype html>") and "http" not in report.read_text().replace(
        "http-equiv", ""
    )

    empty = {"waits": 0, "events": 0, "deliveries": 0, "transitions": 0, "quarantined": 0, "tombstones": 0}
    assert run("prune", "--older-than", "90d", "--dry-run", "-o", "json").ok().json == empty
    assert run("prune", "--older-than", "90d").ok().out == "deleted nothing\n"


def test_bad_input(run: Waitctl, tmp_path: Path) -> None:
    assert "0" in run("prune", "--older-than", "0").error(2)
    assert "Missing option" in run("prune").error(2)
    assert run("metrics", "--textfile", "/").error(2) == "cannot write /: Is a directory"
    assert run("metrics", "--textfile", "").error(2) == "cannot write .: Is a directory"
    assert run("metrics", "--textfile", f"{tmp_path}/none/x.prom").error(2) == (
        f"cannot write {tmp_path}/none/x.prom: No such file or directory"
    )
    assert "--since" in run("ticks", "--since", "soon").error(2)
    assert run("analytics", "--html", f"{tmp_path}/none/x.html").error(2) == (
        f"cannot write {tmp_path}/none/x.html: No such file or directory"
    )
    (tmp_path / "kept.html").symlink_to(tmp_path)
    assert run("analytics", "--html", f"{tmp_path}/kept.html").error(2) == f"cannot write {tmp_path}: it is no file"
    for arguments, word in (
        (("--since", "soon"), "--since"),
        (("--by", "contact"), "'contact' is not one of"),
        (("--overdue",), "--overdue means open waits"),
        (("--status", "waiting"), "--status waiting means open waits"),
        (("--due-before", "2h"), "--due-before means open waits"),
        (("-o", "id"), "there is no id"),
    ):
        assert word in run("analytics", *arguments).error(2), arguments
    done = run("check", "--max-overdue", "soon")
    assert (done.code, done.err) == (3, "")
    assert done.out.startswith("WAITCTL UNKNOWN - ")


def test_where_nothing_is(nowhere: Waitctl, tmp_path: Path) -> None:
    for command in (("ticks",), ("metrics",), ("analytics",), ("top",), ("prune", "--older-than", "1d")):
        assert "no database at" in nowhere(*command).error(5)
    done = nowhere("check")
    assert (done.code, done.out) == (3, f"WAITCTL UNKNOWN - no database at {tmp_path}/waits.db\n")
    done = nowhere("doctor", "-o", "json")
    assert done.code == 1
    states = {finding["check"]: finding["state"] for finding in done.json}
    assert (states["database"], states["config"], states["overdue"]) == ("fail", "ok", "unknown")
    config = tmp_path / "config.toml"
    config.write_text("retention = 7\n")
    states = {each["check"]: each["state"] for each in nowhere("--config", str(config), "doctor", "-o", "json").json}
    assert (states["config"], states["database"]) == ("fail", "unknown")


def test_retention_by_the_config(run: Waitctl, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('retention = "90d"\ntombstone_retention = "1000d"\n')
    run(
        "create",
        "fixed-time",
        "1m",
        "--from",
        "2020-01-01T00:00:00Z",
        "--key",
        "k",
        env={"WAITCTL_AS_OF": "2020-01-01T00:00:00Z"},
    )
    run("tick", "--as-of", "2020-01-02T00:00:00Z").ok()
    report = run("--config", str(config), "tick", "-o", "json").ok().json
    assert report["pruned"] == 1
    assert run("list", "-o", "json").ok().json["waits"] == []


# -- a dead man's switch -----------------------------------------------------------------------------------------------


class Switch(BaseHTTPRequestHandler):
    """Remembers what it was told."""

    heard: ClassVar[list[tuple[str, str]]] = []
    answer = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        self.heard.append((self.path, body))
        self.send_response(self.answer)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def switch() -> Iterator[str]:
    Switch.heard, Switch.answer = [], 200
    server = ThreadingHTTPServer(("127.0.0.1", 0), Switch)
    serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}/ping/uuid"
    server.shutdown()
    serving.join()
    server.server_close()


def test_a_tick_tells_a_dead_mans_switch(run: Waitctl, tmp_path: Path, switch: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'ping_url = "{switch}"\n')
    tick = ("--config", str(config), "tick")
    run("create", "fixed-time", "1m", "--from", "2026-01-01T00:00:00Z").ok()
    run(*tick, "--dry-run").ok()
    assert Switch.heard == []
    run(*tick, "-q").ok()
    assert Switch.heard == [("/ping/uuid/start", ""), ("/ping/uuid", "resumed 1 wait")]

    (tmp_path / "waits.db").rename(tmp_path / "away.db")
    run(*tick).error(5)
    assert [path for path, _ in Switch.heard[2:]] == ["/ping/uuid/start", "/ping/uuid/fail"]
    assert "no database at" in Switch.heard[-1][1]
    (tmp_path / "away.db").rename(tmp_path / "waits.db")

    Switch.answer = 404
    done = run(*tick)
    assert (done.code, done.err) == (0, "the ping was answered with 404\n")
    config.write_text('ping_url = "http://127.0.0.1:9/secret"\n')
    done = run(*tick)
    assert done.code == 0 and done.err.startswith("the ping was not taken: ") and "secret" not in done.err


@pytest.mark.parametrize("url", ["hc-ping.com/uuid", "ftp://hc-ping.com/uuid", "https://", "https://a b", "https://[x"])
def test_an_address_that_cannot_be_asked(run: Waitctl, tmp_path: Path, url: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f"ping_url = {json.dumps(url)}\n")
    assert "ping_url: write an address" in run("--config", str(config), "tick").error(2)
