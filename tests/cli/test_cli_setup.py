"""`waitctl init`, `config` and `help`: setting up, and being told."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from tests.cli.processes import Waitctl
from waitctl.cli.helping import TOPICS, read_topic
from waitctl.infrastructure.toml_lines import key_lines

BAD = """\
timezone = "Europe/Berln"
late_tolerance = 5
colour = true

[handlers.nudge]
exec = [
  "/nowhere/nudge.sh",  # [not.a.table]
]
timout = "30s"
max_attempts = 0

[handlers.bare]

[sources.typeform]
format = "typefrom"
secret_file = "none.secret"

[calendars.company]
base = "DE-BAY"
"""


@pytest.fixture
def here(tmp_path: Path) -> Waitctl:
    return Waitctl(tmp_path, None)


@pytest.fixture
def crontab(tmp_path: Path) -> dict[str, str]:
    """A crontab program that keeps its table in a file, in front of the machine's own."""
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / "crontab"
    program.write_text('#!/bin/sh\nif [ "$1" = -l ]; then cat "$HOME/table"; else cat > "$HOME/table"; fi\n')
    program.chmod(0o755)
    return {"PATH": f"{programs}:{os.environ['PATH']}"}


# -- init --------------------------------------------------------------------------------------------------------------


def test_a_table_is_shown_by_its_keys(nowhere: Waitctl, tmp_path: Path) -> None:
    """And what stands below it by its names."""
    (tmp_path / "c.toml").write_text(
        '[serve]\nmax_requests = 7\n[serve.tokens.shop]\ntoken_env = "SHOP"\nscopes = ["read"]\n'
        '[templates.remind]\ncreate = "fixed-time 1d"\n'
    )
    shown = nowhere("--config", "c.toml", "config", "show", "-o", "json").ok().json["settings"]
    assert {key: value for key, value in shown.items() if key.startswith(("serve", "templates"))} == {
        "serve.max_requests": 7,
        "serve.tokens.shop.token_env": "SHOP",
        "serve.tokens.shop.scopes": ["read"],
        "serve.max_tick_age": "3m",
        "templates.remind.create": "fixed-time 1d",
    }


def test_init_makes_a_config_that_holds_and_names_the_database(here: Waitctl) -> None:
    made = here("init", "-o", "json").ok().json

    file = here.folder / ".config" / "waitctl" / "config.toml"
    url = f"sqlite:///{here.folder}/.local/share/waitctl/waitctl.db"
    assert made == {
        "database_url": url,
        "config_file": str(file),
        "crontab": None,
        "made": [str(file)],
        "kept": [],
    }
    assert tomllib.loads(file.read_text()) == {"database_url": url}
    assert file.stat().st_mode & 0o777 == 0o600
    assert here("config", "check").ok().lines == [f"{file}: nothing is wrong"]
    assert not Path(url.removeprefix("sqlite:///")).exists(), "the first wait makes it"


def test_what_init_suggests_can_be_used_as_it_is(here: Waitctl) -> None:
    text = here("init", "--print").out
    suggested = [line.removeprefix("# ") for line in text.splitlines() if " = " in line or line.startswith("# [")]

    assert tomllib.loads("\n".join(suggested))["handlers"]["nudge"]["max_attempts"] == 8
    assert not (here.folder / ".config").exists()


def test_init_overwrites_nothing(here: Waitctl) -> None:
    file = here.folder / "my.toml"
    file.write_text('timezone = "Asia/Tokyo"\n')
    file.chmod(0o600)

    made = here("--config", str(file), "init", "-o", "json").ok().json

    assert (made["made"], made["kept"]) == ([], [str(file)])
    assert file.read_text() == 'timezone = "Asia/Tokyo"\n'


def test_cron_gets_the_database_of_the_shell(here: Waitctl, crontab: dict[str, str]) -> None:
    (here.folder / "table").write_text("MAILTO=ada\n0 5 * * * backup")

    made = here("init", "--cron", "-o", "json", env=crontab).ok().json
    again = here("init", "--cron", "-o", "json", env=crontab).ok().json

    assert made["made"] == [made["config_file"], "crontab"]
    assert again["kept"] == [made["config_file"], "crontab"]
    *before, comment, line = (here.folder / "table").read_text().splitlines()
    assert before == ["MAILTO=ada", "0 5 * * * backup"]
    assert comment.startswith("#")
    assert line == made["crontab"]
    stars, words = line[:10], shlex.split(line[10:])
    assert stars == "* * * * * "
    environment = dict(word.split("=", 1) for word in words if "=" in word)
    assert environment["WAITCTL_CONFIG"] == made["config_file"]
    assert words[-2:] == ["tick", "-q"]
    here("create", "until-date", "2020-01-01", "--past", "fire").ok()
    assert here("tick", "-o", "json", env={"HOME": "/nonexistent", **environment}).ok().json["resumed"] == 1


def test_a_crontab_that_ticks_on_another_database_is_named(here: Waitctl, crontab: dict[str, str]) -> None:
    here("init", "--cron", env=crontab).ok()
    table = (here.folder / "table").read_text()
    assert "note:" not in here("init", "--cron", env=crontab).ok().err
    other = here("--database-url", "sqlite:///other.db", "init", "--cron", env=crontab)
    assert (here.folder / "table").read_text() == table
    ticking, this = table.splitlines()[-1], f"WAITCTL_DATABASE_URL=sqlite:///{here.folder}/other.db"
    assert f"note: the crontab ticks by another line, which stays: {ticking}\n" in other.err and this in other.err


def test_a_percent_sign_does_not_end_crons_command(here: Waitctl) -> None:
    line = here("--config", "50% off.toml", "init", "--cron", "--print").out

    assert f"WAITCTL_CONFIG='{here.folder}/50\\% off.toml'" in line
    assert "%" not in line.replace("\\%", "")


@pytest.mark.parametrize("how", ["--cron", "--systemd"])
def test_a_database_that_the_config_does_not_name_is_named_beside_it(here: Waitctl, how: str) -> None:
    file = here.folder / "my.toml"
    file.write_text('timezone = "Asia/Tokyo"\n')
    printed = here("--config", str(file), "--database-url", "sqlite:///waits.db", "init", how, "--print")

    assert printed.code == 0
    assert f"WAITCTL_DATABASE_URL=sqlite:///{here.folder}/waits.db" in printed.out


@pytest.mark.parametrize("how", [["--cron"], ["--systemd"], []])
def test_a_password_is_not_copied(here: Waitctl, how: list[str]) -> None:
    (here.folder / "my.toml").write_text("")
    config = ["--config", str(here.folder / ("my.toml" if how else "new.toml"))]
    refused = here(*config, "--database-url", "postgresql://ada:hunter2@db/waits", "init", *how, "--print")

    assert "password" in refused.error(2)
    assert "hunter2" not in refused.err


def test_units_are_made_for_whoever_asks(here: Waitctl) -> None:
    printed = here("init", "--systemd", "--print").out

    folder = "/etc/systemd/system" if os.geteuid() == 0 else f"{here.folder}/.config/systemd/user"
    assert f"# {folder}/waitctl-tick.service\n" in printed
    assert f"# {folder}/waitctl-tick.timer\n" in printed
    assert re.search(r'^ExecStart="/.*" .*tick$', printed, re.MULTILINE)
    assert f'Environment="WAITCTL_CONFIG={here.folder}/.config/waitctl/config.toml"' in printed


def test_cron_or_systemd(here: Waitctl) -> None:
    assert "one of" in here("init", "--cron", "--systemd").error(2)


def test_without_cron_it_says_what_else_there_is(here: Waitctl) -> None:
    refused = here("init", "--cron", env={"PATH": "/nonexistent"})

    assert "no crontab" in refused.error(2)
    assert "--systemd" in refused.err
    assert not (here.folder / ".config").exists()


# -- config ------------------------------------------------------------------------------------------------------------


def test_check_says_everything_at_once_with_lines_and_what_is_right(here: Waitctl) -> None:
    (here.folder / "bad.toml").write_text(BAD)

    checked = here("--config", "bad.toml", "config", "check", "-o", "json")

    assert checked.code == 2
    problems = checked.json["problems"]
    assert [(each["line"], each["key"]) for each in problems] == [
        (1, "timezone"),
        (2, "late_tolerance"),
        (3, "colour"),
        (6, "handlers.nudge.exec"),
        (9, "handlers.nudge.timout"),
        (10, "handlers.nudge.max_attempts"),
        (12, "handlers.bare"),
        (15, "sources.typeform.format"),
        (16, "sources.typeform.secret_file"),
        (19, "calendars.company.base"),
    ]
    assert [each["example"] for each in problems[:2]] == ['timezone = "Europe/Berlin"', 'late_tolerance = "5m"']
    assert "did you mean timeout?" in problems[4]["problem"]
    assert "did you mean typeform?" in problems[7]["problem"]
    people = here("--config", "bad.toml", "config", "check")
    assert people.lines[:2] == [
        f"{here.folder}/bad.toml:1: timezone: 'Europe/Berln' is not a time zone",
        '  right: timezone = "Europe/Berlin"',
    ]
    assert people.err == "10 things to mend\n"
    first = here("--config", "bad.toml", "pending")
    assert "timezone" in first.error(2)
    assert "config check" in first.err


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("timezone = 'UTC'\nhandlers =", 2, "not TOML"),
        ("a = [\n", 1, "not TOML"),
        ("[handlers]\nnudge = 3\n", 2, "dictionary"),
        ("\n[handlers.nudge]\nexec = []\n", 3, "at least 1 item"),
        ("allow_unsafe_files = true\n", 1, "vouch"),
        ("[calendars.a]\nbase = 'b'\n[calendars.b]\nbase = 'a'\n", 2, "leads back to a"),
        ("[templates.t]\ncreate = 'fixed-tim 3d'\n", 2, "no form 'fixed-tim'"),
        ("\n[templates.t]\ncreate = 'fixed-time {days:int}'\n", 3, "'3' is not a duration"),
        ("[templates.t]\ncreate = ['recurring', '--every', '{n:int}']\n", 2, "is not a duration"),
        ("database_url = 'mysql://ada:hunter2@db/x'\n", 1, "mysql"),
    ],
)
def test_check_finds_the_line(here: Waitctl, text: str, line: int | None, words: str) -> None:
    (here.folder / "bad.toml").write_text(text)

    checked = here("--config", "bad.toml", "config", "check", "-o", "json")

    assert checked.code == 2
    assert [problem["line"] for problem in checked.json["problems"] if words in problem["problem"]] == [line]
    assert "hunter2" not in checked.out + here("--config", "bad.toml", "config", "show").out


def test_check_names_files_that_others_may_write_or_read(here: Waitctl) -> None:
    file = here.folder / "open.toml"
    file.write_text('[handlers.crm]\nwebhook = "https://crm.example.org/"\nsecret_file = "crm.secret"\n')
    file.chmod(0o666)
    secret = here.folder / "crm.secret"
    secret.write_text("s")
    secret.chmod(0o644)

    checked = here("--config", "open.toml", "config", "check", "-o", "json")

    assert checked.code == 2
    config, of_secret = checked.json["problems"]
    assert (config["line"], config["example"]) == (None, f"chmod o-w {file}")
    assert (of_secret["line"], of_secret["example"]) == (3, f"chmod go-rwx {secret}")


@pytest.mark.parametrize(
    ("format_", "secret", "words"),
    [
        ("standardwebhooks", "whsec_AAAA", "too short"),
        ("resend", "whsec_AAAA", "too short"),
        ("cloudevents", "whsec_AAAA", "too short"),
        ("postmark", "nocolon", "user:password"),
        ("sendgrid-inbound", ":", "user:password"),
        ("sendgrid", "garbage", "public key"),
        ("stripe", "whpk_" + "A" * 43 + "=", "public key"),
        ("typeform", "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE" + "A" * 88, "public key"),
    ],
)
@pytest.mark.parametrize("kept", ["secret_env", "secret_file"])
def test_check_looks_at_the_secrets_of_senders(here: Waitctl, format_: str, secret: str, words: str, kept: str) -> None:
    (here.folder / "s").write_text(secret)
    (here.folder / "s").chmod(0o600)
    named = "S" if kept == "secret_env" else "s"
    (here.folder / "of.toml").write_text(f'[sources.a]\nformat = "{format_}"\n{kept} = "{named}"\n')

    checked = here("--config", "of.toml", "config", "check", "-o", "json", env={"S": secret})

    assert checked.code == 2
    (problem,) = checked.json["problems"]
    assert (problem["key"], problem["line"]) == (f"sources.a.{kept}", 3)
    assert words in problem["problem"]
    assert len(secret) < 5 or secret not in checked.out + checked.err


def test_check_looks_at_the_environment(here: Waitctl) -> None:
    checked = here(
        "config",
        "check",
        "-o",
        "json",
        env={"WAITCTL_AS_OF": "tomorrow", "WAITCTL_TIMEZONE": "Berlin", "WAITCTL_LOG_FORMAT": "xml"},
    )

    assert checked.code == 2
    assert [problem["key"] for problem in checked.json["problems"]] == [
        "WAITCTL_TIMEZONE",
        "WAITCTL_LOG_FORMAT",
        "WAITCTL_AS_OF",
    ]


def test_show_says_what_holds_and_where_it_comes_from(here: Waitctl) -> None:
    file = here.folder / "my.toml"
    file.write_text('timezone = "Asia/Tokyo"\nlate_tolerance = "2m"\n[handlers.nudge]\nexec = ["true"]\n')
    flags = ["--config", str(file), "--database-url", "postgresql://ada:hunter2@db/waits"]

    shown = here(*flags, "config", "show", "--origin", "-o", "json", env={"WAITCTL_TIMEZONE": "Europe/Oslo"}).ok()

    assert "hunter2" not in shown.out
    settings, origins = shown.json["settings"], shown.json["origins"]
    both = {key: (settings[key], origins[key]) for key in settings}
    assert both["database_url"] == ("postgresql://ada:***@db/waits", "--database-url")
    assert both["timezone"] == ("Europe/Oslo", "WAITCTL_TIMEZONE")
    assert both["late_tolerance"] == ("2m", f"{file}:2")
    assert both["handlers.nudge.exec"] == (["true"], f"{file}:4")
    assert both["handlers.nudge.max_attempts"] == (8, "default")
    assert both["unknown_handler_after"] == ("1d", "default")


def test_show_without_a_file_says_how_to_make_one(here: Waitctl) -> None:
    shown = here("config", "show")

    assert shown.code == 0
    assert re.search(r'^timezone += "UTC"$', shown.out, re.MULTILINE)
    assert "waitctl init" in shown.err


def test_lines_of_keys() -> None:
    text = 'a = 1\n# b = 2\n[t."x y"]\nc.d = """\n[no]\n"""\n\n[[u]]\ne = { f = 1 }\n'

    assert key_lines(text) == {
        ("a",): 1,
        ("t",): 3,
        ("t", "x y"): 3,
        ("t", "x y", "c"): 4,
        ("t", "x y", "c", "d"): 4,
        ("u",): 8,
        ("u", "e"): 9,
        ("u", "e", "f"): 9,
    }


# -- help --------------------------------------------------------------------------------------------------------------


def test_help_lists_its_topics(here: Waitctl) -> None:
    assert [line.split()[0] for line in here("help").ok().lines[: len(TOPICS)]] == list(TOPICS)


@pytest.mark.parametrize("topic", TOPICS)
def test_help_explains_a_topic(here: Waitctl, topic: str) -> None:
    text = here("help", topic).ok().out

    assert text.startswith(f"# {topic}: ")
    assert text == read_topic(topic)
    assert len(text.splitlines()) <= 100


def test_help_explains_a_command(here: Waitctl) -> None:
    assert "Usage: waitctl event types add" in " ".join(here("help", "event", "types", "add").ok().out.split())


@pytest.mark.parametrize(
    ("word", "near"), [("tiem", "time"), ("exit-code", "exit-codes"), ("tik", "tick"), ("qqq", "formats")]
)
def test_help_that_there_is_not_suggests(here: Waitctl, word: str, near: str) -> None:
    assert near in here("help", word).error(2)


def test_the_environment_topic_names_every_variable() -> None:
    package = Path(__file__).parents[2] / "waitctl"
    read = set()
    for file in package.rglob("*.py"):
        read |= set(re.findall(r'environ[^\n]*"(WAITCTL_[A-Z_]+)"', file.read_text(encoding="utf-8")))
    assert len(read) >= 4

    told = set(re.findall(r"WAITCTL_[A-Z_]+", read_topic("environment") + read_topic("handlers")))
    assert read <= told
