"""The layers of the design are held by contracts, and the contracts can fail."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import waitctl

ROOT = Path(__file__).parent.parent

MOST_LINES_OF_A_MODULE, MOST_LINES_OF_A_FUNCTION = 500, 60


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            Path(sys.executable).parent / "lint-imports",
            "--no-cache",
            "--no-logo",
            "--config",
            folder / "pyproject.toml",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and its contracts, to break."""
    shutil.copytree(ROOT / "waitctl", tmp_path / "waitctl", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_package_keeps_its_contracts() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert ", 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("domain/waits.py", "import waitctl.application.processor.tick", "Layers"),
        ("infrastructure/ids.py", "import waitctl.application.processor.tick", "Layers"),
        ("domain/waits.py", "import waitctl.infrastructure.ids", "Layers"),
        ("domain/waits.py", "import time", "The domain is pure"),
        ("domain/waits.py", "import sqlalchemy", "The domain is pure"),
        ("infrastructure/handlers/exec.py", "import waitctl.infrastructure.database", "Handlers know nothing"),
        ("infrastructure/handlers/exec.py", "import waitctl.infrastructure.store.waits", "Handlers know nothing"),
        ("infrastructure/handlers/exec.py", "import sqlalchemy", "SQL is spoken"),
        ("infrastructure/providers/mailgun.py", "import waitctl.infrastructure.database", "Providers know nothing"),
        ("infrastructure/providers/mailgun.py", "import sqlalchemy", "SQL is spoken"),
        ("application/processor/tick.py", "from sqlalchemy import select", "SQL is spoken"),
        ("application/processor/tick.py", "import psycopg", "The PostgreSQL driver"),
        ("infrastructure/database.py", "import alembic", "Alembic is imported"),
        ("application/processor/tick.py", "import pydantic", "pydantic is imported"),
        ("application/waits/scheduling.py", "import waitctl.application.events.recording", "Rooms of the application"),
        ("application/events/recording.py", "import waitctl.application.deliveries.outbox", "Rooms of the application"),
        (
            "application/calendars/opening_rules.py",
            "import waitctl.application.waits.results",
            "Rooms of the application",
        ),
        ("application/diagnosis.py", "import waitctl.application.waits.scheduling", "Rooms of the application"),
        ("application/diagnosis.py", "import waitctl.application.events.recording", "Rooms of the application"),
        ("application/novelty.py", "", "Rooms of the application"),
        ("novelty.py", "", "Layers"),
        ("application/documents.py", "import waitctl.web", "Layers"),
        ("cli/waits.py", "import waitctl.web", "The web door is opened"),
        ("cli/waits.py", "import starlette", "The libraries of the web"),
        ("web/novelty.py", "", "Rooms of the web door"),
        ("infrastructure/novelty.py", "", "Rooms of the infrastructure"),
    ],
)
def test_a_contract_that_is_broken_is_reported(copy: Path, module: str, line: str, broken: str) -> None:
    with (copy / "waitctl" / module).open("a") as code:
        code.write(f"\n{line}\n")
    result = lint_imports(copy)
    assert result.returncode == 1, result.stdout + result.stderr
    reported = [line for line in result.stdout.splitlines() if " BROKEN" in line]
    assert any(line.startswith(broken) for line in reported), result.stdout


def too_long(folder: Path) -> list[str]:
    """Modules and functions that should be split, and how many lines they have."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        code = path.read_text()
        found += [f"{path.name}: {lines}"] if (lines := code.count("\n")) > MOST_LINES_OF_A_MODULE else []
        found += [
            f"{path.name}: {node.name}: {lines}"
            for node in ast.walk(ast.parse(code))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > MOST_LINES_OF_A_FUNCTION
        ]
    return found


def test_no_module_and_no_function_has_grown_past_what_is_read_at_once(tmp_path: Path) -> None:
    assert too_long(ROOT / "waitctl") == []
    (tmp_path / "long.py").write_text("x = 1\n" * 500 + "async def f():\n" + "    x = 1\n" * 60)
    assert too_long(tmp_path) == ["long.py: 561", "long.py: f: 61"]


# -- names --------------------------------------------------------------------------------------------------------------

LIBRARY = ("domain", "application", "infrastructure")
ALIKE = {
    "parse": "every provider's",
    "verify": "every provider's",
    "contains": "in Python and in SQL",
    "matches_text": "in Python and in SQL",
    "new_id": "in Python and in SQL",
    "scalar_text": "in Python and in SQL",
    "list_deliveries": "the store's, as far back as one looks",
    "list_events": "the store's, as far back as one looks",
    "list_waits": "the store's, as far back as one looks",
}
"""Names that stand in several modules, since they mean the same there."""


def names_of(code: str) -> Iterator[str]:
    """The classes, aliases of types and functions that a module defines for others."""
    for node in ast.parse(code).body:
        match node:
            case ast.ClassDef(name) | ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                pass
            case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(ast.Name(name), _, value) if (
                is_camel(name) and not isinstance(value, ast.Attribute) and "TypeVar(" not in ast.unparse(value or node)
            ):
                pass
            case _:
                continue
        if not name.startswith("_"):
            yield name


def is_camel(name: str) -> bool:
    return name[0].isupper() and name != name.upper()


def homonyms(package: Path) -> dict[str, list[str]]:
    """Of each public name of the library that several modules define: which."""
    modules = defaultdict(list)
    for layer in LIBRARY:
        for path in sorted((package / layer).rglob("*.py")):
            if path.parent.name != "rendered":
                for name in names_of(path.read_text()):
                    modules[name].append(path.relative_to(package).as_posix())
    return {name: found for name, found in modules.items() if len(found) > 1}


def test_no_two_things_of_the_library_have_one_name(copy: Path) -> None:
    assert homonyms(ROOT / "waitctl").keys() == ALIKE.keys()
    with (copy / "waitctl/domain/waits.py").open("a") as code:
        code.write("\n\nListing = list[str]\n\n\nclass Tick: ...\n\n\ndef judge_late() -> None: ...\n")
    with (copy / "waitctl/infrastructure/ids.py").open("a") as code:
        code.write("\n\nListing: object = dict[str, str]\n")
    assert homonyms(copy / "waitctl").keys() - ALIKE.keys() == {"Listing", "Tick", "judge_late"}


def test_what_was_renamed_is_found_under_its_former_name_too() -> None:
    assert vars(waitctl)["_FORMER_NAMES"].items() >= {("Particulars", "WaitSpec"), ("Signal", "Wakeup")}
    for former, name in vars(waitctl)["_FORMER_NAMES"].items():
        assert getattr(waitctl, former) is getattr(waitctl, name)
    assert not hasattr(waitctl, "Novelty")


# -- the map ---------------------------------------------------------------------------------------------------------------

MAP = ROOT / "docs" / "architecture.md"
MAPPED = ("application", "application/*", "infrastructure", "domain")
"""Of these rooms every module stands in the map; of the others what they hold in common does."""


def rooms(package: Path) -> dict[str, list[str]]:
    """By room: its modules and the rooms in it."""
    found = {path.name: path for pattern in MAPPED for path in package.glob(pattern) if (path / "__init__.py").exists()}
    return {
        name: sorted(
            each.stem
            for each in path.iterdir()
            if (each.suffix == ".py" and each.stem != "__init__") or (each / "__init__.py").exists()
        )
        for name, path in found.items()
    }


def unmapped(package: Path) -> list[str]:
    """What somebody who knows the map alone would not look for."""
    drawn = MAP.read_text(encoding="utf-8").partition("```text")[2].partition("```")[0]
    named = set(re.findall(r"\w+", drawn))
    return sorted(f"{room}/{name}" for room, names in rooms(package).items() for name in names if name not in named)


def test_the_map_names_every_module_of_its_rooms(copy: Path) -> None:
    assert unmapped(ROOT / "waitctl") == []
    (copy / "waitctl/application/waits/novelty.py").touch()
    (copy / "waitctl/domain/novelty.py").touch()
    assert unmapped(copy / "waitctl") == ["domain/novelty", "waits/novelty"]


def files_named_by(page: Path) -> set[str]:
    """What a page names as a file or a folder, between backticks."""
    found = re.findall(r"`([\w.*/-]+)`", page.read_text(encoding="utf-8"))
    return {
        name for name in found if re.search(r"\.(?:py|json|md|toml|sql|yml)$|^(?:docs|tests|waitctl|alembic)/", name)
    }


def is_there(name: str) -> bool:
    """Whether there is such a file in the checkout: the whole path, or its end. A word in capitals stands for any."""
    pattern = re.sub(r"[A-Z_]{4,}", "*", name)
    return any(True for _ in ROOT.glob(pattern)) or any(
        any(True for _ in (ROOT / folder).rglob(pattern)) for folder in ("waitctl", "tests", "docs", "alembic")
    )


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md", "docs/decisions.md"])
def test_the_files_that_a_page_for_contributors_names_are_there(page: str) -> None:
    named = files_named_by(ROOT / page)
    assert named
    assert sorted(name for name in named if not is_there(name)) == []


def test_a_file_that_is_not_there_is_found_missing() -> None:
    assert is_there("tests/cli/test_cli_GROUP.py") and is_there("store/due.py") and is_there("waitctl/domain")
    assert not is_there("tests/unit/test_novelty.py") and not is_there("waits/novelty.py")


def threads(package: Path) -> set[str]:
    """The names of the threads that a tick may start."""
    rooms = [package / "application" / "deliveries", package / "application" / "processor", package / "infrastructure"]
    code = "\n".join(
        path.read_text() for room in rooms for path in room.rglob("*.py") if path.parent.name != "rendered"
    )
    return set(re.findall(r'thread_name_prefix="(\w+)"', code)) | set(re.findall(r'Thread\(.*\bname="(\w+)"', code))


def test_every_thread_of_a_tick_stands_in_the_table() -> None:
    drawn = set(re.findall(r"^\| `(\w+)", MAP.read_text(encoding="utf-8"), re.MULTILINE))
    assert threads(ROOT / "waitctl") >= {"dispatch", "settle", "due", "ping", "connect"}
    assert threads(ROOT / "waitctl") - drawn == set()
