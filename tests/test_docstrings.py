"""A public function says what it raises: whoever calls it has nothing else to go by.

Of the command line's commands the docstring is the help: their exit statuses say what went wrong.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "waitctl"
DEFECTS = {"AssertionError", "NotImplementedError"}
"""What is raised for our own mistakes, and so no part of what a function does."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def public_functions(body: list[ast.stmt]) -> Iterator[Function]:
    """The functions and methods that others may call, but for commands and what is nested in functions."""
    for node in body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            if isinstance(node, ast.ClassDef):
                yield from public_functions(node.body)
            elif not is_command(node):
                yield node


def is_command(function: Function) -> bool:
    """Whether it is decorated as one, or is handed its context."""
    decorators = [each.func if isinstance(each, ast.Call) else each for each in function.decorator_list]
    annotations = [ast.unparse(each.annotation) for each in function.args.args[:1] if each.annotation]
    return annotations == ["typer.Context"] or any(
        isinstance(each, ast.Attribute) and each.attr in {"command", "callback"} for each in decorators
    )


def raised(node: ast.AST) -> Iterator[str]:
    """The classes that a piece of code raises itself and lets go: not in a nested function, not where it catches."""
    if isinstance(node, ast.Raise) and node.exc is not None:
        error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        name = error.attr if isinstance(error, ast.Attribute) else error.id if isinstance(error, ast.Name) else ""
        if name[:1].isupper() and name not in DEFECTS:
            yield name
    caught = node.body if isinstance(node, ast.Try) and node.handlers else []
    for child in ast.iter_child_nodes(node):
        if child not in caught and not isinstance(child, Function | ast.Lambda | ast.ClassDef):
            yield from raised(child)


def silent_about(code: str) -> dict[str, set[str]]:
    """By function: what it raises and does not name."""
    found = {
        function.name: {name for name in raised(function) if name not in (ast.get_docstring(function) or "")}
        for function in public_functions(ast.parse(code).body)
    }
    return {function: names for function, names in found.items() if names}


def test_public_functions_name_what_they_raise() -> None:
    modules = {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in PACKAGE.rglob("*.py")}
    silent = {module: found for module, code in modules.items() if (found := silent_about(code))}
    assert silent == {}
    functions = [each for code in modules.values() for each in public_functions(ast.parse(code).body)]
    assert sum(any(raised(function)) for function in functions) > 50


@pytest.mark.parametrize(
    ("code", "silent"),
    [
        ("def f():\n    raise KeyError(1)", {"f": {"KeyError"}}),
        ("def f():\n    '''Raises `KeyError`.'''\n    raise KeyError", {}),
        ("def f():\n    '''Raises `KeyError`.'''\n    raise typer.Exit(1) from KeyError", {"f": {"Exit"}}),
        ("class C:\n    async def f(self):\n        if self:\n            raise KeyError", {"f": {"KeyError"}}),
        ("def f():\n    try:\n        g()\n    except OSError:\n        raise KeyError from None", {"f": {"KeyError"}}),
        ("def f():\n    try:\n        raise KeyError\n    finally:\n        g()", {"f": {"KeyError"}}),
        ("def f():\n    try:\n        raise KeyError\n    except KeyError:\n        g()", {}),
        ("def f(error):\n    raise error", {}),
        ("def f():\n    def g():\n        raise KeyError\n    raise AssertionError", {}),
        ("def _f():\n    raise KeyError\nclass _C:\n    def f(self):\n        raise KeyError", {}),
        ("@app.command('f')\ndef f():\n    raise KeyError", {}),
        ("def f(context: typer.Context):\n    raise KeyError", {}),
    ],
)
def test_the_rule_itself(code: str, silent: dict[str, set[str]]) -> None:
    assert silent_about(code) == silent
