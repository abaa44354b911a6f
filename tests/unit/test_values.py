"""Values are dataclasses: whatever is asked of one, the standard's says the same."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from waitctl.domain import values


def make(decorator: Callable[..., Any], **how: bool) -> Any:
    """A class with everything that ours have: defaults, a factory, what is not compared or shown, a check, a method."""

    @decorator(**how)
    class Sample:
        """Words."""

        KINDS: ClassVar[int] = 3
        name: str
        size: int = 1
        tags: Mapping[str, int] = dataclasses.field(default_factory=dict)
        note: str = dataclasses.field(default="", compare=False)
        secret: str = dataclasses.field(default="s", repr=False)

        def __post_init__(self) -> None:
            if self.size < 0:
                raise ValueError("size")

        @property
        def double(self) -> int:
            """Twice the size."""
            return 2 * self.size

    return Sample


HOW = [
    {"frozen": True, "slots": True},
    {"frozen": True, "slots": True, "eq": False},
    {"slots": True},
    {"frozen": True},
]


def outcome(act: Callable[[], Any]) -> Any:
    """What it returns; or the error and its words."""
    try:
        return act()
    except Exception as error:  # noqa: BLE001 (whatever it is)
        return type(error), str(error)


ASKED: dict[str, Callable[[Any], Any]] = {
    "shown": lambda kind: repr(kind("a", tags={"x": 1}, secret="t")),
    "equal": lambda kind: (
        kind("a", note="x") == kind("a"),
        kind("a") == kind("b"),
        kind("a") == ("a", 1, {}, "", "s"),
    ),
    "hashed": lambda kind: outcome(lambda: hash(kind("a", tags=())) == hash(kind("a", tags=(), note="x"))),
    "set": lambda kind: outcome(lambda: setattr(kind("a"), "size", 2)),
    "deleted": lambda kind: outcome(lambda: delattr(kind("a"), "size")),
    "too few": outcome,
    "too many": lambda kind: outcome(lambda: kind("a", 1, {}, "", "s", 6)),
    "unknown": lambda kind: outcome(lambda: kind("a", colour=1)),
    "refused": lambda kind: outcome(lambda: kind("a", -1)),
    "each its own": lambda kind: kind("a").tags is not kind("b").tags,
    "fields": lambda kind: [(each.name, each.type, each.compare) for each in dataclasses.fields(kind)],
    "as a dictionary": lambda kind: dataclasses.asdict(kind("a", 2)),
    "replaced": lambda kind: dataclasses.astuple(dataclasses.replace(kind("a"), size=4)),
    "replaced with nonsense": lambda kind: outcome(lambda: dataclasses.replace(kind("a"), colour=4)),
    "is one": lambda kind: (dataclasses.is_dataclass(kind), dataclasses.is_dataclass(kind("a"))),
    "signature": lambda kind: str(inspect.signature(kind)),
    "names": lambda kind: (kind.__name__, kind.__qualname__, kind.__doc__, kind.__match_args__, kind.KINDS),
    "has a dictionary": lambda kind: hasattr(kind("a"), "__dict__"),
    "copied": lambda kind: dataclasses.astuple(copy.copy(kind("a", 5))),
    "copied deeply": lambda kind: dataclasses.astuple(copy.deepcopy(kind("a", 5, {"x": 1}))),
    "method": lambda kind: kind("a", 4).double,
}


@pytest.mark.parametrize("how", HOW, ids=str)
@pytest.mark.parametrize("asked", ASKED)
def test_a_value_answers_as_the_standards_dataclass(asked: str, how: dict[str, bool]) -> None:
    assert ASKED[asked](make(values._dataclass, **how)) == ASKED[asked](make(dataclasses.dataclass, **how))


@values.dataclass(frozen=True, slots=True)
class Kept:
    """A value that another process may read."""

    name: str
    size: int = 1


def test_a_value_is_read_where_none_was_made_before() -> None:
    assert pickle.loads(pickle.dumps(Kept("a", 3))) == Kept("a", 3)
    match Kept("a", 3):
        case Kept(name, size=3):
            assert name == "a"
        case _:
            raise AssertionError("no match")
    assert values.replace(Kept("a"), size=7) == Kept("a", 7)


def test_threads_may_make_the_first_values_at_once() -> None:
    for _ in range(50):
        kind = make(values._dataclass, frozen=True, slots=True)
        with ThreadPoolExecutor(8) as threads:
            made = list(threads.map(kind, "a" * 16, [0, 1] * 8))
            assert list(threads.map(made.index, made)) == [0, 1] * 8
