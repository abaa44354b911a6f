"""The layers of the design are held by contracts, and the contracts can fail."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
