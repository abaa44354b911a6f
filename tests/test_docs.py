"""The docs cannot drift: their commands are run and the output compared, drawings and tables are the code's, links lead on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.cli.processes import Waitctl
from tests.golden_docs import files, leaves
from waitctl.cli.helping import TOPICS, read_topic
from waitctl.cli.output import ExitCode
from waitctl.domain.handlers import ExecConfig
from waitctl.domain.statuses import TRANSITIONS
from waitctl.infrastructure.config import load_settings
from waitctl.infrastructure.file_trust import user_name

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TOURS = [page for page in PAGES if "\n```console\n" in page.read_text(encoding="utf-8")]
MARK = "@@next@@"


def named(page: Path) -> str:
    return page.name


def blocks(page: Path, language: str) -> list[str]:
    """What stands in the page's fences of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def console_commands(page: Path) -> list[tuple[str, str]]:
    """(command, output) of every ``console`` block of a page, in order."""
    commands: list[tuple[list[str], list[str]]] = []
    for line in "".join(blocks(page, "console")).splitlines():
        if line.startswith("$ "):
            commands.append(([line[2:]], []))
        elif line.startswith("> ") and not commands[-1][1]:
            commands[-1][0].append(line[2:])
        else:
            commands[-1][1].append(line)
    return [("\n".join(command), "\n".join(output)) for command, output in commands]


def play(commands: list[str], folder: Path) -> list[str]:
    """Run the commands in one shell; return what each printed."""
    script = f"\necho {MARK}\n".join(["exec 2>&1", *commands])
    with Waitctl(folder, None).on_the_path() as environment:
        done = subprocess.run(
            ["sh"], input=script, capture_output=True, text=True, cwd=folder, env=environment, check=False
        )
    return [part.strip("\n") for part in done.stdout.split(f"{MARK}\n")[1:]]


def comparable(output: str, home: Path = Path("/home/ada")) -> str:
    """The output without what differs every time: ids and who ran it where. Runs of blanks count as one."""
    output = output.replace(str(home), "/home/ada")
    for examples in (ROOT / "examples", Path(sys.prefix) / "share" / "waitctl" / "examples"):
        output = output.replace(str(examples), "/usr/local/share/waitctl/examples")
    output = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<id>", output)
    output = re.sub(r"\b[0-9a-f]{12}\b", "<tail>", output)
    output = re.sub(rf"\b{re.escape(user_name(os.geteuid()))}@", "ada@", output)
    output = re.sub(r"\b(ada|tick)@\S+", r"\1@<host>", output)
    return "\n".join(re.sub(r"\s+", " ", line).strip() for line in output.splitlines())


@pytest.mark.parametrize("page", TOURS, ids=named)
@pytest.mark.usefixtures("uncounted")
@pytest.mark.long  # many processes, one after the other
def test_the_commands_of_a_page_print_what_it_shows(tmp_path: Path, page: Path) -> None:
    tour = console_commands(page)
    printed = play([command for command, _ in tour], tmp_path)

    assert [(command, comparable(output, tmp_path)) for (command, _), output in zip(tour, printed, strict=True)] == [
        (command, comparable(output)) for command, output in tour
    ]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(target)
    assert dead == []


def anchors(page: Path) -> set[str]:
    """The anchors that a site and GitHub give to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_the_front_page_leads_to_every_page() -> None:
    """By its links, and by the site's navigation."""
    front = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    site = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    pages = {page.name for page in PAGES[1:]}

    assert set(re.findall(r"\]\((\w[\w-]*\.md)\)", front)) == pages - {"index.md"}
    assert {name for name in re.findall(r'"([\w-]+\.md)"', site) if name.islower()} == pages


def test_the_readme_is_short() -> None:
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) <= 150


def test_the_drawing_is_the_transition_table() -> None:
    (drawing,) = blocks(ROOT / "docs" / "first-flow.md", "mermaid")
    drawn = {
        (None if source == "[*]" else source, target)
        for source, target in re.findall(r"^\s+(\S+) --> (\w+)", drawing, re.MULTILINE)
    }

    assert drawn == {(source, target) for source, targets in TRANSITIONS.items() for target in targets}


def test_the_exit_codes_are_the_programs() -> None:
    codes = re.findall(r"^\| ([0-9]+) \|", read_topic("exit-codes"), re.MULTILINE)

    assert [int(code) for code in codes] == [code.value for code in ExitCode]


def test_what_is_made_from_the_program_is_up_to_date() -> None:
    stale = [name for name, text in files() if (ROOT / name).read_text(encoding="utf-8") != text]

    assert stale == [], "make docs-reference writes them anew"


def test_every_topic_is_in_a_page() -> None:
    taken_in = {
        found for page in PAGES for found in re.findall(r"<!-- topic: (\S+) -->", page.read_text(encoding="utf-8"))
    }

    assert taken_in == set(TOPICS) - {"config"}  # which has the page of the configuration


def test_the_man_page_holds_every_command_and_topic() -> None:
    text = (ROOT / "man" / "waitctl.1").read_text(encoding="utf-8").replace("\\-", "-")

    assert [line for line in text.splitlines() if line.startswith("'") or "`" in line[4:]][1:] == []
    for path, _ in leaves():
        assert f".SS {path}" in text
    for topic in TOPICS:
        assert f".SH {topic.upper()}" in text


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "toml")], ids=named)
def test_the_config_examples_are_understood(tmp_path: Path, page: Path) -> None:
    for number, example in enumerate(blocks(page, "toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(example, encoding="utf-8")
        settings = load_settings(config=str(file), environ={})
        assert settings.config_file == file


def test_the_examples_of_handlers_say_what_is_meant(tmp_path: Path) -> None:
    handlers, dead = (tmp_path / "handlers.toml", tmp_path / "dead.toml")
    for file, example in zip((handlers, dead), blocks(ROOT / "docs" / "handlers.md", "toml"), strict=True):
        file.write_text(example, encoding="utf-8")

    settings = load_settings(config=str(handlers), environ={})
    assert settings.timezone == "Europe/Berlin"
    assert settings.handlers["nudge"].target == ExecConfig(("/usr/local/bin/nudge.sh",))
    settings = load_settings(config=str(dead), environ={})
    assert (settings.on_dead, settings.inline.timeout, settings.allow_inline_commands) == (
        "tell-ops",
        timedelta(minutes=10),
        False,
    )


def test_the_python_examples_run(tmp_path: Path) -> None:
    """One after the other: the second creates waits beside those of the first."""
    printed = [
        subprocess.run(
            [sys.executable, "-c", example],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
        ).stdout
        for example in blocks(ROOT / "docs" / "python.md", "python")
    ]

    assert printed == ["waiting True\n", "", ""]
