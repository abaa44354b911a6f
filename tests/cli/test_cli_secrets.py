"""Secrets of a database URL stand in nothing that anybody reads: no word, no row, no argument of a program."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.cli.processes import Waitctl

MARK = "Zq7xMark"

AROUND = st.text(st.sampled_from("ab1%@:/?#[]&=+;, é\"'\\"), max_size=4)
"""What passwords hold that URLs mean something by."""

OPTIONS = st.sampled_from(
    ["password", "sslpassword", "passfile", "sslkey", "PassWord", "api_token", "client_secret", "oauth_client_secret"]
)


@st.composite
def urls(draw: st.DrawFn) -> str:
    """A URL with the mark in a place where a secret stands, escaped or not, in a URL that can be read or not."""
    scheme = draw(st.sampled_from(["postgresql", "postgresql+psycopg", "postgres", "mysql", "sqlite"]))
    secret = f"{draw(AROUND)}{MARK}{draw(AROUND)}"
    host = draw(st.sampled_from(["127.0.0.1:1", "[::1]:1", "127.0.0.1:x", "127.0.0.1:1,127.0.0.1:2", "[::1", ""]))
    if draw(st.booleans()):
        return f"{scheme}://ada:{secret}@{host}/waits"
    return f"{scheme}://ada@{host}/waits?connect_timeout=1&{draw(OPTIONS)}={secret}"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(urls())
@example(f"postgresql://ada:a@{MARK}@127.0.0.1:1/waits")
@example(f"postgresql://ada:a@{MARK}/b@127.0.0.1:1/waits")
@example(f"postgresql://ada:@{MARK}?@127.0.0.1:1/waits")
@example(f"postgresql://ada:@{MARK}#b@127.0.0.1:1/waits")
@example(f"postgresql://ada:x@127.0.0.1:{MARK}/waits")
@example(f"postgresql://ada:x@[{MARK}/waits")
@example(f"postgresql://127.0.0.1:1/waits?sslkey=/etc/{MARK}&sslcert=/dev/null&sslmode=require")
def test_no_secret_of_a_url_is_said(tmp_path: Path, url: str) -> None:
    for arguments, env in (
        (("--database-url", url, "pending"), {}),
        (("-vv", "db", "current"), {"WAITCTL_DATABASE_URL": url}),
        (("create", "fixed-time", "1h", "-o", "json"), {"WAITCTL_DATABASE_URL": url}),
        ((url,), {}),
    ):
        finished = Waitctl(tmp_path, None).anyhow(*arguments, env=env)
        assert MARK not in finished.out + finished.err, finished
        assert "bug in waitctl" not in finished.err, finished


def test_a_url_in_a_config_is_not_said_either(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(f'database_url = "postgresql://ada:{MARK}@127.0.0.1:1/w?passfile=/{MARK}"\n')
    finished = Waitctl(tmp_path, None).anyhow("-vv", "--config", "config.toml", "pending")
    assert finished.code == 5
    assert MARK not in finished.out + finished.err, finished


def test_nothing_that_is_kept_or_run_holds_it(postgres_url: str, tmp_path: Path) -> None:
    """All that a run leaves in the tables, and the arguments of what it starts."""
    plain = postgres_url.replace("postgresql+psycopg:", "postgresql:")
    joiner = "&" if "?" in plain else "?"
    run = Waitctl(tmp_path, f"{plain}{joiner}password={MARK}&passfile=/{MARK}")
    seen = tmp_path / "seen"
    script = f'tr "\\0" " " < /proc/$PPID/cmdline > {seen}; tr "\\0" " " < /proc/$$/cmdline >> {seen}; exit 1'
    config = {"exec": ["sh", "-c", script, "nudge"]}
    (tmp_path / "config.toml").write_text(
        f"[handlers.nudge]\nexec = {json.dumps(config['exec'])}\n[handlers.tell]\nnotify = 'waits'\n"
    )
    env = {"WAITCTL_CONFIG": "config.toml"}
    run("create", "for-event", "sms_reply", "-c", "ada", "--handler", "nudge", env=env).ok()
    run("event", "record", "sms_reply", "-c", "ada", env=env).ok()
    run("tick", env=env)
    assert seen.exists() and MARK not in seen.read_text()
    for output in ("human", "json"):
        assert MARK not in run("db", "current", "-o", output).ok().out
    with psycopg.connect(plain) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        rows = [str(connection.execute(f"SELECT * FROM {name}".encode()).fetchall()) for (name,) in tables]
    assert len(rows) > 8 and MARK not in "".join(rows)


@pytest.mark.parametrize("verbose", ["-v", "-vv"])
def test_what_people_wrote_is_in_no_traceback(run: Waitctl, verbose: str) -> None:
    """SQLAlchemy shows the parameters of a statement that failed, unless it is told not to."""
    (run.folder / "waits.db").chmod(0o400)
    run.url = f"sqlite:///file:{run.folder / 'waits.db'}?mode=ro&uri=true"
    finished = run.anyhow(verbose, "create", "fixed-time", "1h", "-c", MARK)
    assert finished.code == 5
    assert MARK not in finished.err.replace(f"-c {MARK}", "")
