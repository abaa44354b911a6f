"""The syntax tree of a CEL expression, out of the checked form in which the library writes it.

That form is a protocol buffer, ``cel.expr.CheckedExpr``, whose numbers are part of CEL's published interface:
https://github.com/google/cel-spec/blob/master/proto/cel/expr/syntax.proto
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from waitctl.domain.values import dataclass


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal; of others than texts and bytes only that it is one."""

    text: str | bytes | None


@dataclass(frozen=True, slots=True)
class Name:
    """A variable or a type. What is declared with a dot in its name is one name."""

    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """``operand.field``, or with ``tests`` whether it is there."""

    operand: Node
    field: str
    tests: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function or an operator (``_+_``); the target of a method is its first argument."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Build:
    """A list or map literal: its elements, or its keys and values."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Fold:
    """What a macro comes to: ``total`` begins as ``start`` and becomes ``step`` for each ``variable`` of ``source``."""

    variable: str
    source: Node
    total: str
    start: Node
    condition: Node
    step: Node
    result: Node


Node: TypeAlias = Constant | Name | Select | Call | Build | Fold


def read_tree(serialized: bytes) -> Node:
    """The tree of an expression that was serialized by the library."""
    (checked,) = _parts(serialized, 2)  # it comes in an `Any`, behind the address of its type
    (expression,) = _parts(checked, 4)
    return _node(expression)


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    yield node
    match node:
        case Select(operand):
            yield from walk(operand)
        case Call(_, children) | Build(children):
            for child in children:
                yield from walk(child)
        case Fold():
            for child in (node.source, node.start, node.condition, node.step, node.result):
                yield from walk(child)
        case Constant() | Name():
            pass


def _node(message: bytes) -> Node:
    for number, value in _fields(message):
        if isinstance(value, bytes):
            match number:
                case 3:
                    return _constant(value)
                case 4:
                    return Name(_text(value, 1))
                case 5:
                    return Select(_child(value, 1), _text(value, 2), tests=any(n == 3 for n, _ in _fields(value)))
                case 6:
                    arguments = (*_parts(value, 1), *_parts(value, 3))
                    return Call(_text(value, 2), tuple(map(_node, arguments)))
                case 7:
                    return Build(tuple(map(_node, _parts(value, 1))))
                case 8:
                    entries = _parts(value, 2)
                    return Build(tuple(_node(part) for entry in entries for n in (3, 4) for part in _parts(entry, n)))
                case 9:
                    return Fold(
                        _text(value, 1),
                        _child(value, 2),
                        _text(value, 3),
                        *(_child(value, place) for place in (4, 5, 6, 7)),
                    )
                case _:
                    pass
    return Constant(None)


def _constant(message: bytes) -> Constant:
    for number, value in _fields(message):
        if isinstance(value, bytes) and number in {6, 7}:
            return Constant(value.decode() if number == 6 else value)
    return Constant(None)


def _child(message: bytes, number: int) -> Node:
    (part,) = _parts(message, number)
    return _node(part)


def _text(message: bytes, number: int) -> str:
    (part,) = _parts(message, number)
    return part.decode()


def _parts(message: bytes, number: int) -> list[bytes]:
    return [value for found, value in _fields(message) if found == number and isinstance(value, bytes)]


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The numbered fields of a protocol buffer: https://protobuf.dev/programming-guides/encoding/."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        match key & 7:
            case 0:
                value, place = _varint(message, place)
                yield key >> 3, value
                continue
            case 1:
                length = 8
            case 5:
                length = 4
            case _:
                length, place = _varint(message, place)
        yield key >> 3, message[place : place + length]
        place += length


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place
