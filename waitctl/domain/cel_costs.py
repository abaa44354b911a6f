"""What the evaluation of a CEL expression may cost, estimated from its shape and from the data that it is asked about.

The library stops after 10,000 passes of macros, and its patterns take linear time. What is left is what one pass may
do: compare or search large values, copy a list to append to it (``map`` and ``filter``), double a text with ``+``. The
estimate walks the tree once. A path such as ``event.data.items`` is looked up, so that its own size counts and not the
event's; an element of a list counts as the average one, or as the largest where macros stand within macros.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from waitctl.domain.cel_tree import Build, Call, Constant, Fold, Name, Node, Select, walk
from waitctl.domain.values import dataclass

MAX_PASSES = 10_000
"""Passes of macros after which the library stops."""

_CHUNK = 64
"""Characters of a text that count as one value."""

_PATTERN = 200
"""Steps that it takes to make a pattern ready."""

_SCALAR = {
    *("_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_", "_&&_", "_||_", "!_", "-_", "@in", "@not_strictly_false"),
    *("size", "contains", "startsWith", "endsWith", "matches", "int", "uint", "double", "bool", "type"),
}
"""Functions whose result is small whatever they are given."""

_CHEAP = {"_[_]", "_?_:_", "_&&_", "_||_", "!_", "@not_strictly_false", "size", "dyn", "type"}
"""Functions that do not go through what they are given."""


class _Unknown:
    """A value that the data does not tell."""


_UNKNOWN: Final = _Unknown()


@dataclass(frozen=True, slots=True)
class Cost:
    """What evaluating a part takes, in steps of about a tenth of a microsecond, and how large its value is at most.

    ``size`` counts values, long texts as several; ``length`` the elements.
    """

    work: float
    size: float = 1
    length: float = 1
    value: Any = _UNKNOWN


class Estimator:
    """Estimates expressions about the same ``values``, measuring each part of them once."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._sizes: dict[int, int] = {}

    def work(self, tree: Node) -> int:
        """The steps that evaluating ``tree`` may take."""
        return int(self._cost(tree, {}).work)

    def _cost(self, node: Node, scope: Mapping[str, Cost]) -> Cost:
        match node:
            case Constant(text):
                return Cost(1, 1 + len(text or "") // _CHUNK)
            case Name(name):
                return scope.get(name) or self._known(self._values.get(name, _UNKNOWN), 1)
            case Select():
                return self._select(node, scope)
            case Call("_[_]", (operand, Constant(str() as key))):
                return self._select(Select(operand, key, tests=False), scope)
            case Call(function, arguments):
                return _call(function, [self._cost(argument, scope) for argument in arguments])
            case Build(parts):
                costs = [self._cost(part, scope) for part in parts]
                return Cost(_sum_work(costs), 1 + sum(cost.size for cost in costs), len(costs))
            case Fold():
                return self._fold(node, scope)

    def _known(self, value: Any, work: float) -> Cost:
        if value is _UNKNOWN:
            return Cost(work)
        length = len(value) if isinstance(value, dict | list) else 1
        return Cost(work + length / _CHUNK, self._size(value), length, value)

    def _select(self, node: Select, scope: Mapping[str, Cost]) -> Cost:
        operand = self._cost(node.operand, scope)
        if node.tests:
            return Cost(operand.work + 1)
        if operand.value is _UNKNOWN:
            return Cost(operand.work + 1, operand.size, operand.size)
        value = operand.value.get(node.field, _UNKNOWN) if isinstance(operand.value, dict) else _UNKNOWN
        return self._known(value, operand.work + 1)

    def _fold(self, node: Fold, scope: Mapping[str, Cost]) -> Cost:
        source, start = self._cost(node.source, scope), self._cost(node.start, scope)
        passes = min(source.length, MAX_PASSES)
        element = self._element(source, nested=any(isinstance(part, Fold) for part in walk(node.step)))
        within = {**scope, node.variable: element, node.total: Cost(0, start.size, start.length)}
        condition, step = self._cost(node.condition, within), self._cost(node.step, within)
        grown = max(step.size - start.size, 0)
        copied = passes * passes / 2 if isinstance(node.start, Build) else 0
        work = source.work + start.work + passes * (condition.work + step.work) + copied
        total = Cost(0, start.size + passes * grown, start.length + passes)
        result = self._cost(node.result, {**scope, node.total: total})
        return Cost(work + result.work, result.size, result.length)

    def _element(self, source: Cost, *, nested: bool) -> Cost:
        if not nested:
            size = source.size / max(source.length, 1)
        elif isinstance(source.value, list):
            size = max(map(self._size, source.value), default=1)
        else:
            size = source.size
        return Cost(0, size, size)

    def _size(self, value: Any) -> int:
        if not isinstance(value, dict | list):
            return _scalar_size(value)
        if id(value) not in self._sizes:
            self._sizes[id(value)] = _measure(value)
        return self._sizes[id(value)]


def _call(function: str, arguments: list[Cost]) -> Cost:
    sizes = [argument.size for argument in arguments]
    work = _sum_work(arguments) + 1
    if function in {"_==_", "_!=_"}:
        work += min(sizes)
    elif function == "matches":
        work += _PATTERN + _CHUNK * sizes[0]
    elif function not in _CHEAP:
        work += sum(sizes)
    if function in _SCALAR or function.startswith("get"):
        return Cost(work)
    if function == "_[_]":
        return Cost(work, sizes[0], sizes[0])
    if function == "_?_:_":
        return Cost(work, max(sizes[1:]), max(argument.length for argument in arguments[1:]))
    return Cost(work, sum(sizes), sum(argument.length for argument in arguments))


def _sum_work(costs: list[Cost]) -> float:
    return sum(cost.work for cost in costs)


def _scalar_size(value: object) -> int:
    return 1 + len(value) // _CHUNK if isinstance(value, str) else 1


def _measure(value: object) -> int:
    """How many values a list or an object holds, keys included; not recursive, since it may be nested deeply."""
    size, left = 0, [value]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            size += 1 + len(each)
            left.extend(each.values())
        elif isinstance(each, list):
            size += 1
            left.extend(each)
        else:
            size += _scalar_size(each)
    return size
