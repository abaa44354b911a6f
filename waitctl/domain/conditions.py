"""``--where``: a condition on an event in CEL, Google's Common Expression Language.

What it may see is ``event.type``, ``event.contact``, ``event.data``, ``event.at`` (when it happened, else when it was
received), ``event.source`` and ``wait.context``.

**What a condition may cost.** The library has no limits of its own but the depth of its parser, copies a list to
append to it and compiles a pattern each time it is used: measured, 400 characters of nested macros or of ``+`` keep it
busy for minutes. So what can multiply is bounded. At create: 4 KiB of text, 64 ``+``, four ``matches``, each with a
literal pattern and outside macros. At each event: an estimate of the work, which is the size of the data, times its
longest list once for every macro around a step (twice for ``map`` and ``filter``, which copy), times what ``+`` and
list literals in macros may multiply. Beyond `MAX_WORK` (about a second at worst, milliseconds as a rule) the event
does not match, and the diagnostic says why. 256 KiB that meet a macro inside a macro are refused, a form of a hundred
answers is not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from waitctl.domain.errors import InvalidWaitConfigurationError
from waitctl.domain.text import JsonObject, storable

MAX_CONDITION = 4096
"""Bytes of an expression."""

MAX_WORK = 20_000_000
"""Steps that the estimate of one evaluation may come to; a step takes up to a tenth of a microsecond."""

_MAX_SUMS = 64
_MAX_PATTERNS = 4
_MAX_MESSAGE = 300

_FIELDS = {"event": {"type", "contact", "data", "at", "source"}, "wait": {"context"}}

_MACROS = {"all": 1, "exists": 1, "exists_one": 1, "existsOne": 1, "map": 2, "filter": 2}
"""How often a macro goes through its list; those that make a list copy it once for every element."""

_TYPES = {"int", "uint", "double", "bool", "string", "bytes", "list", "map", "timestamp", "duration", "type"}
_PARTS = {"FullYear", "Month", "Date", "DayOfMonth", "DayOfYear", "DayOfWeek", "Hours", "Minutes", "Seconds"}
_FUNCTIONS = (
    _TYPES
    | {"has", "size", "contains", "startsWith", "endsWith", "matches", "dyn", "getMilliseconds"}
    | {f"get{part}" for part in _PARTS}
)

_TOKEN = re.compile(
    r"""
      (?P<comment> //[^\n]* )
    | (?P<text> [bBrR]{0,2} (?: \"\"\".*?\"\"\" | '''.*?''' | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' ) )
    | (?P<name> [A-Za-z_][A-Za-z0-9_]* )
    | (?P<number> [0-9][0-9A-Za-z.]* )
    | (?P<sign> [^\s] )
    """,
    re.VERBOSE | re.DOTALL,
)


class ConditionError(Exception):
    """A condition said neither yes nor no about an event; the message says why."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled expression, and how its cost grows with the data."""

    text: str
    program: Any
    passes: int
    """How many times over the longest list its innermost step may run, as an exponent."""
    growth: int
    """By how much sums and literals in macros may multiply the data."""
    longest: int
    """The longest list literal."""

    def work(self, values: JsonObject) -> int:
        """An estimate of the steps that these values take."""
        size, longest = _measure(values)
        passes: int = max(longest, self.longest) ** self.passes
        return passes * size * self.growth

    def holds(self, values: JsonObject) -> bool:
        """Whether it holds for these values. Raises `ConditionError` when it says neither yes nor no."""
        if self.passes and (work := self.work(values)) > MAX_WORK:
            raise ConditionError(f"too costly for this event: {work:,} steps, at most {MAX_WORK:,}")
        try:
            result = self.program.execute(values)
        except BaseException as error:
            # A panic of the library is no Exception; whatever it is, the tick goes on to the next event.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise ConditionError(_reason(error)) from error
        return bool(result)


def check_condition(text: str) -> Condition:
    """Compile an expression. Raises `InvalidWaitConfigurationError`, saying where it fails."""
    if not text.strip():
        raise InvalidWaitConfigurationError("--where is empty")
    if len(text.encode(errors="surrogatepass")) > MAX_CONDITION:
        raise InvalidWaitConfigurationError(f"--where is longer than {MAX_CONDITION:,} bytes")
    if text != storable(text):
        raise InvalidWaitConfigurationError("--where holds NUL or lone surrogates")
    try:
        return _compile(text)
    except ConditionError as error:
        hint = "it sees event.type, event.contact, event.data, event.at, event.source and wait.context"
        raise InvalidWaitConfigurationError(f"--where: {error}", hint=hint) from error


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
    values = {
        "event": {"type": event_type, "contact": contact_id, "data": _plain(data), "at": at, "source": source},
        "wait": {"context": _plain(context or {})},
    }
    return _compile(text).holds(values)


@lru_cache(maxsize=1024)
def _compile(text: str) -> Condition:
    passes, growth, longest, bound, patterns = _look_over(text)
    library = _library()
    try:
        references = library.compile(text).references()
        for pattern in patterns:
            library.compile(f"''.matches({pattern})").execute({})
        # Only a boolean passes through ?:, so a result that is none is an error, and no list of it comes to Python.
        program = library.compile(f"({text}\n) ? true : false")
    except Exception as error:
        raise ConditionError(_reason(error)) from error
    unknown = [name for name in references["variables"] if name not in bound | _TYPES | {"event", "wait"}]
    unknown += [name for name in references["functions"] if name[0].isalpha() and name not in _FUNCTIONS]
    if unknown:
        position = re.search(rf"\b{re.escape(unknown[0])}\b", text)
        where = f" (character {position.start() + 1})" if position else ""
        raise ConditionError(f"there is no {unknown[0]!a}{where}")
    _check_fields(text, bound)
    condition = Condition(text, program, passes, growth, longest)
    if passes and condition.work({}) > MAX_WORK:
        raise ConditionError("too costly: macros in macros, or sums and lists in them, multiply")
    return condition


def _check_fields(text: str, bound: set[str]) -> None:
    """Refuse ``event.dta``, which would say neither yes nor no about any event."""
    tokens = [match for match in _TOKEN.finditer(text) if match.lastgroup != "comment"]
    words = ["", *(match.group() for match in tokens), "", ""]
    for place, match in enumerate(tokens, 1):
        before, root, dot, field = words[place - 1 : place + 3]
        fields = _FIELDS.get(root) if before != "." and dot == "." and root not in bound else None
        if fields and field not in fields:
            raise ConditionError(f"there is no {f'{root}.{field}'!a} (character {match.start() + 1})")


def _look_over(text: str) -> tuple[int, int, int, set[str], list[str]]:
    """The cost of an expression by its tokens: passes, growth, longest literal; names that macros bind; patterns.

    Not a parser: what is no expression at all the library finds.
    """
    tokens = [match for match in _TOKEN.finditer(text) if match.lastgroup != "comment"]
    words = [match.group() for match in tokens]
    if words.count("+") > _MAX_SUMS:
        raise ConditionError(f"more than {_MAX_SUMS} +")
    if words.count("matches") > _MAX_PATTERNS:
        raise ConditionError(f"more than {_MAX_PATTERNS} matches")
    open_ = list[tuple[int, int]]()  # of each open bracket: its passes, and its commas and sums
    passes, growth, bound, patterns = 0, 1, set[str](), list[str]()
    for place, word in enumerate(words):
        if word in {"(", "[", "{"}:
            before = words[place - 1] if place else ""
            macro = _MACROS.get(before, 0) if word == "(" and place > 1 and words[place - 2] == "." else 0
            if macro:
                bound.update(words[place + 1 : place + 2])
            open_.append((macro, 0))
            passes = max(passes, sum(each for each, _ in open_))
        elif word in {")", "]", "}"} and open_:
            macro, factor = open_.pop()
            growth *= max(factor, 1) if macro else 1
            if open_ and not macro:
                open_[-1] = (open_[-1][0], open_[-1][1] + factor)
        elif word in {"+", ","} and open_:
            open_[-1] = (open_[-1][0], open_[-1][1] + 1)
        elif word == "matches":
            patterns.append(_pattern(tokens, place, inside=any(each for each, _ in open_)))
    return passes, growth, words.count(",") + 1, bound, patterns


def _pattern(tokens: list[re.Match[str]], place: int, *, inside: bool) -> str:
    at = f" (character {tokens[place].start() + 1})"
    after = tokens[place + 1 : place + 4]
    kinds = [token.group() if token.lastgroup == "sign" else token.lastgroup for token in after]
    if kinds != ["(", "text", ")"] or tokens[place - 1].group() != ".":
        raise ConditionError(f"matches takes a literal pattern, as in event.type.matches('^email'){at}")
    if inside:
        raise ConditionError(f"matches may not stand in a macro{at}: use contains, startsWith or endsWith")
    return after[1].group()


def _measure(values: object) -> tuple[int, int]:
    """The values in some JSON, long texts as several; and its longest list or object."""
    size, longest, left = 0, 1, [values]
    while left:
        value = left.pop()
        size += 1
        if isinstance(value, str):
            size += len(value) // 64
        elif isinstance(value, dict | list):
            longest = max(longest, len(value))
            left.extend(value.values() if isinstance(value, dict) else value)
    return size, longest


def _plain(value: Any) -> Any:
    """JSON as both databases read it back: jsonb writes 1e16 as an integer."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and abs(value) >= 1e16 and value.is_integer():
        from decimal import Decimal

        return int(Decimal(repr(value)))
    return value


def _reason(error: BaseException) -> str:
    """The library's message, in one line."""
    message = str(error)
    if isinstance(error, KeyError):
        message = f"no such key: {message.strip(chr(39))}"
    message = message.rpartition("ERROR: <input>:")[2] if "ERROR: <input>:" in message else message
    if found := re.match(r"([0-9]+):([0-9]+): (.*)", message):
        message = f"line {found[1]}, character {found[2]}: {found[3].partition(' expecting')[0]}"
    message = message.partition(" CEL does not coerce")[0].partition("\n")[0].strip()
    return storable(message)[:_MAX_MESSAGE] or type(error).__name__


@lru_cache(maxsize=1)
def _library() -> Any:
    """The compiled part of the CEL library: importing its package loads a shell for people as well, for 0.3 s."""
    from importlib.machinery import PathFinder
    from importlib.util import find_spec, module_from_spec

    package = find_spec("cel")
    spec = PathFinder.find_spec("cel.cel", package.submodule_search_locations) if package else None
    if spec is None or spec.loader is None:
        import cel

        return cel
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
