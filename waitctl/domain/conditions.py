"""``--where``: a condition on an event in CEL, Google's Common Expression Language.

What it may see is ``event.type``, ``event.contact``, ``event.data``, ``event.at`` (when it happened, else when it was
received), ``event.source`` and ``wait.context``.

At create an expression is checked by type: what can be evaluated for no event at all is refused, a function that does
not exist for its arguments, a pattern or a zone that cannot be read. What it costs is estimated for each event (see
`cel_costs`); beyond `MAX_WORK` the event does not match, and the diagnostic says why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property, lru_cache
from math import inf
from typing import TYPE_CHECKING, Any

from waitctl.domain.errors import InvalidWaitConfigurationError
from waitctl.domain.patterns import pattern
from waitctl.domain.text import JsonObject, storable
from waitctl.domain.values import dataclass

if TYPE_CHECKING:  # loaded when there is a condition
    from waitctl.domain.cel_tree import Node

MAX_CONDITION = 4096
"""Bytes of an expression."""

MAX_WORK = 8_000_000
"""Steps that the estimate of one evaluation may come to: a second at worst, milliseconds as a rule."""

_MAX_MESSAGE = 300

_CONTEXT = "wait.context"
_FIELDS = {"event": "type|contact|data|at|source", "wait": "context"}

_READS_TEXT = ("timestamp", "duration", "int", "uint", "double", "bool")
"""Conversions that a literal text may not be fit for."""

_PART_OF_TIME = pattern("get(FullYear|Month|Date|DayOfMonth|DayOfWeek|DayOfYear|Hours|Minutes|Seconds|Milliseconds)")

_NO_OFFSET = pattern(r"[+-]?(2[4-9]|[3-9][0-9]):[0-9]{2}|[+-]?[0-9]{2}:[6-9][0-9]")


class ConditionError(Exception):
    """A condition said neither yes nor no about an event; the message says why."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled expression. ``sees_context``: its answer depends on the wait's context as well as on the event."""

    text: str
    program: Any
    tree: Node
    sees_context: bool


class Subject:
    """An event as conditions see it. It is converted once, for however many conditions, and not before one asks."""

    def __init__(self, *, event_type: str, contact_id: str, data: object, at: datetime | None, source: str) -> None:
        self._data = data
        self._fields = {
            "event.type": event_type,
            "event.contact": contact_id,
            "event.at": at,
            "event.source": source,
        }

    def work(self, text: str, context: JsonObject | None) -> int:
        """The steps that `holds` may take: an estimate; none where it raises at once."""
        try:
            condition = _compile(text)
        except ConditionError:
            return 0
        work = self._look(condition, context).estimator.work(condition.tree)
        return work if work <= MAX_WORK else 0

    def holds(self, text: str, context: JsonObject | None) -> bool:
        """Whether the condition ``text`` holds, for a wait with this ``context``.

        Raises `ConditionError` when it says neither yes nor no.
        """
        condition = _compile(text)
        look = self._look(condition, context)
        if (work := look.estimator.work(condition.tree)) > MAX_WORK:
            raise ConditionError(f"too costly for this event: {work:,} steps, at most {MAX_WORK:,}")
        result = _evaluate(condition.program, look.activation)
        if not isinstance(result, bool):
            raise ConditionError(f"it is {_noun(result)}, neither true nor false")
        return result

    @cached_property
    def _values(self) -> dict[str, Any]:
        return self._fields | {"event.data": _plain(self._data)}

    @cached_property
    def _alone(self) -> _Look:
        return _Look(self._values | {_CONTEXT: {}})

    def _look(self, condition: Condition, context: JsonObject | None) -> _Look:
        return _Look(self._values | {_CONTEXT: _plain(context or {})}) if condition.sees_context else self._alone


class _Look:
    """What one evaluation sees."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        from waitctl.domain.cel_costs import Estimator

        self.estimator = Estimator(values)
        self.activation = _environment().Activation(values)


def check_condition(text: str) -> Condition:
    """Compile an expression. Raises `InvalidWaitConfigurationError`, saying where it fails."""
    from waitctl.domain.cel_costs import Estimator
    from waitctl.domain.cel_tree import Name, walk

    if not text.strip():
        raise InvalidWaitConfigurationError("--where is empty")
    if len(text.encode(errors="surrogatepass")) > MAX_CONDITION:
        raise InvalidWaitConfigurationError(f"--where is longer than {MAX_CONDITION:,} bytes")
    if text != storable(text):
        raise InvalidWaitConfigurationError("--where holds NUL or lone surrogates")
    try:
        condition = _compile(text)
        _check_literals(condition.tree)
        if Estimator({}).work(condition.tree) > MAX_WORK:
            raise ConditionError("too costly: macros in macros, or sums and lists in them, multiply")
        if not any(isinstance(node, Name) for node in walk(condition.tree)):
            _evaluate(condition.program, _environment().Activation({}))  # it fails for every event, or for none
    except ConditionError as error:
        hint = "it sees event.type, event.contact, event.data, event.at, event.source and wait.context"
        raise InvalidWaitConfigurationError(f"--where: {error}", hint=hint) from error
    return condition


def holds(
    text: str,
    *,
    event_type: str,
    contact_id: str,
    data: object,
    at: datetime | None,
    source: str,
    context: JsonObject | None,
) -> bool:
    """Whether the condition ``text`` holds for an event. Raises `ConditionError` when it says neither yes nor no."""
    subject = Subject(event_type=event_type, contact_id=contact_id, data=data, at=at, source=source)
    return subject.holds(text, context)


def sees_context(text: str) -> bool:
    """Whether what a condition says depends on the wait's context. What cannot be compiled says nothing at all."""
    try:
        return _compile(text).sees_context
    except ConditionError:
        return False


@lru_cache(maxsize=1024)
def _compile(text: str) -> Condition:
    from waitctl.domain.cel_tree import Name, read_tree, walk

    try:
        program = _environment().compile(text)
    except Exception as error:
        raise ConditionError(_complaint(text, str(error))) from error
    kind = program.return_type().name().partition("<")[0]
    if kind not in {"BOOL", "DYN"}:
        raise ConditionError(f"it is {_article(kind.lower())}, neither true nor false")
    tree = read_tree(program.serialize())
    names = {node.name for node in walk(tree) if isinstance(node, Name)}
    return Condition(text, program, tree, sees_context=_CONTEXT in names)


def _check_literals(tree: Node) -> None:
    """Refuse literal texts that can never be read as what they are used for."""
    from waitctl.domain.cel_tree import Call, Constant, walk

    for node in walk(tree):
        match node:
            case Call("matches", (_, Constant(str() as pattern))):
                _try_out("event.type.matches(event.source)", pattern)
            case Call("matches"):
                raise ConditionError("matches takes a literal pattern, as in event.type.matches('^email')")
            case Call(function, (Constant(str() as text),)) if function in _READS_TEXT:
                _try_out(f"{function}(event.source)", text)
            case Call(function, (_, Constant(str() as zone))) if _PART_OF_TIME.fullmatch(function):
                _try_out(f"event.at.{function}(event.source)", zone)
                if _NO_OFFSET.fullmatch(zone):  # the library adds it all the same
                    raise ConditionError(f"{zone!a}: no zone is so far away")


def _try_out(text: str, literal: str) -> None:
    values = {"event.type": "", "event.at": datetime.min.replace(year=2000, tzinfo=_utc()), "event.source": literal}
    environment = _environment()
    try:
        _evaluate(environment.compile(text), environment.Activation(values))
    except ConditionError as error:
        raise ConditionError(f"{literal!a}: {error}") from error


def _evaluate(program: Any, activation: Any) -> Any:
    """The value of an expression. Raises `ConditionError`."""
    try:
        result = program.eval(activation)
        value = result.value()
    except Exception as error:
        raise ConditionError(_reason(str(error))) from error
    if result.type().name() == "ERROR":
        raise ConditionError(_reason(str(value)))
    return value


@lru_cache(maxsize=1)
def _environment() -> Any:
    from cel_expr_python import cel

    kinds = cel.Type
    json_object = kinds.Map(kinds.STRING, kinds.DYN)
    return cel.NewEnv(
        variables={
            **dict.fromkeys(("event.type", "event.contact", "event.source"), kinds.STRING),
            "event.at": kinds.TIMESTAMP,
            "event.data": json_object,
            _CONTEXT: json_object,
        }
    )


def _utc() -> Any:
    from datetime import UTC

    return UTC


def _plain(value: Any) -> Any:
    """JSON as both databases read it back (jsonb writes 1e16 as an integer), in numbers that CEL has."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and abs(value) >= 1e16 and value.is_integer():
        from decimal import Decimal

        value = int(Decimal(repr(value)))
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value) if abs(value) < 2**1023 else inf if value > 0 else -inf
    return value


def _complaint(text: str, message: str) -> str:
    """Why an expression does not compile, in one line."""
    if re.search("recursion (limit|depth)", message):
        return "nested too deeply"
    found = re.search(r"ERROR: <input>:([0-9]+):([0-9]+): (?:Syntax error: )?([^\n]*)", message)
    if found is None:
        return _reason(message)
    if unknown := re.match(r"undeclared reference to '([^']*)'", found[3]):
        return _no_such_name(text, unknown[1])
    return _shortened(f"line {found[1]}, character {found[2]}: {found[3].partition(' expecting')[0]}")


def _no_such_name(text: str, name: str) -> str:
    """Of ``event.dta.n`` the library complains about ``event``, or about ``event.dta``."""
    root = name.partition(".")[0]
    pattern = rf"\b{re.escape(root)}\b"
    if root in _FIELDS:
        pattern = rf"(?<![\w.]){root}\b\s*(\.\s*(?!({_FIELDS[root]})\b)\w+|(?!\s*\.))"
    found = re.search(pattern, text)
    if found is None:
        return f"there is no {root!a}"
    return f"there is no {''.join(found[0].split())!a} (character {found.start() + 1})"


def _reason(message: str) -> str:
    """The library's message, in one line, without its codes."""
    if "Iteration budget" in message:
        from waitctl.domain.cel_costs import MAX_PASSES

        return f"too costly for this event: more than {MAX_PASSES:,} passes of its macros"
    message = re.sub(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$", "", message.partition("\n")[0])
    if missing := re.match(r'Key not found in map : "(.*)"', message):
        message = f"no such key: {missing[1]}"
    message = re.sub("^No matching overloads found : ", "no such overload: ", message)
    message = re.sub("^Applying SELECT to non-message type$", "a key is asked of what has none", message)
    return _shortened(message)


def _shortened(message: str) -> str:
    return storable(message).strip()[:_MAX_MESSAGE] or "it failed"


def _noun(value: object) -> str:
    return _article({str: "string", int: "int", float: "double", dict: "map"}.get(type(value), type(value).__name__))


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
