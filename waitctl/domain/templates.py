"""Templates: waits that are asked for by name, with placeholders in what is asked.

A template is what a line of a file of waits is: the long names of the options of `create`, each with its value. In a
value ``{days:int}`` stands for what is given when the template is used. Values are put into single arguments, which are
told apart before: whatever a value says, it stays within its argument.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from waitctl.domain.contacts import value_under
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import InvalidInputError, InvalidTemplateError, WaitStepError
from waitctl.domain.instants import check_zone, format_instant
from waitctl.domain.intents import parse_time_of_day, parse_until_date
from waitctl.domain.text import JsonObject, holds_control, to_json
from waitctl.domain.waits import TEMPLATE

_PLACEHOLDER = re.compile(
    r"\{\{(?P<literal>[A-Za-z_][\w-]*(?::[^{}]*)?(?:=[^{}]*)?)\}\}"
    r"|(?P<quote>[\"']?)\{(?P<name>[A-Za-z_][\w-]*)(?::(?P<kind>[^{}=]*))?(?:=(?P<default>[^{}]*))?\}(?P=quote)"
)
"""``{name}``, ``{name:type}``, ``{name:type=default}``; ``{{name}}`` is ``{name}`` itself."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_REFERENCE = re.compile(rf"({_NAME.pattern})(?:@([1-9][0-9]{{0,8}}))?")

_CONDITION = "where"
"""The option whose value is an expression: what is put into it is put in as a literal of CEL."""

MAX_VALUE = 65_536
"""Characters of a value."""


class PlaceholderType(StrEnum):
    """What may stand in a placeholder's place."""

    STR = "str"
    INT = "int"
    NUMBER = "number"
    DURATION = "duration"
    TIME = "time"
    DATE = "date"
    ZONE = "zone"

    def check(self, text: str) -> None:
        """Raise `InvalidTemplateError`, or what reading such a value raises, unless ``text`` is one."""
        if holds_control(text) and self is not PlaceholderType.STR:
            raise InvalidTemplateError("it holds a control character")
        _CHECKS[self](text)

    def example(self, today: date) -> str:
        """Such a value."""
        return {
            PlaceholderType.STR: "example",
            PlaceholderType.INT: "3",
            PlaceholderType.NUMBER: "1.5",
            PlaceholderType.DURATION: "3d",
            PlaceholderType.TIME: "09:00",
            PlaceholderType.DATE: (today + timedelta(days=30)).isoformat(),
            PlaceholderType.ZONE: "Europe/Berlin",
        }[self]


def _check_number(pattern: str, noun: str) -> Callable[[str], None]:
    def check(text: str) -> None:
        if re.fullmatch(pattern, text, re.ASCII) is None:
            raise InvalidTemplateError(f"it is no {noun}")

    return check


_CHECKS: Mapping[PlaceholderType, Callable[[str], object]] = {
    PlaceholderType.STR: lambda text: text,
    PlaceholderType.INT: _check_number(r"-?\d{1,18}", "whole number"),
    PlaceholderType.NUMBER: _check_number(r"-?\d{1,18}(\.\d{1,18})?", "number"),
    PlaceholderType.DURATION: lambda text: parse_duration(text, business=True, zero=True),
    PlaceholderType.TIME: parse_time_of_day,
    PlaceholderType.DATE: parse_until_date,
    PlaceholderType.ZONE: check_zone,
}


@dataclass(frozen=True, slots=True)
class Placeholder:
    """What has to be given when a template is used, unless there is a default."""

    name: str
    kind: PlaceholderType
    default: str | None = None

    def checked(self, text: str) -> str:
        """``text``, once it may stand here. Raises `InvalidTemplateError`, naming the placeholder."""
        if len(text) > MAX_VALUE:
            raise InvalidTemplateError(f"{self.name}: a value has at most {MAX_VALUE:,} characters")
        try:
            self.kind.check(text)
        except InvalidInputError as error:
            message = f"{self.name}: {text!a} is not of the type {self.kind}: {error.message}"
            raise InvalidTemplateError(message, hint=error.hint) from error
        return text

    def to_json(self) -> JsonObject:
        """An element of a template's `placeholders`."""
        return {"name": self.name, "type": self.kind.value, "default": self.default}


@dataclass(frozen=True, slots=True)
class Reference:
    """The name of a template, and which of its versions is meant; without one the newest."""

    name: str
    version: int | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read ``NAME`` or ``NAME@VERSION``. Raises `InvalidTemplateError`."""
        found = _REFERENCE.fullmatch(text)
        if found is None:
            raise InvalidTemplateError(
                f"{text!a} names no template", hint="letters, digits, _ . and -, then @2 for its second version"
            )
        return cls(found[1], int(found[2]) if found[2] else None)

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Template:
    """A wait that is asked for by name. One of the config file has no ``version``: what stands there holds."""

    name: str
    fields: JsonObject
    version: int | None = None
    examples: Mapping[str, str] = field(default_factory=dict)
    saved_at: datetime | None = None
    actor: str | None = None

    def checked(self) -> Template:
        """The same, once its placeholders can be read and its examples fit. Raises `InvalidTemplateError`."""
        Reference.parse(self.name)
        known = self.placeholders
        for name, text in self.examples.items():
            _known(name, known).checked(text)
        return self

    @property
    def reference(self) -> Reference:
        """How it is named."""
        return Reference(self.name, self.version)

    @property
    def placeholders(self) -> Mapping[str, Placeholder]:
        """Its placeholders by their names, in their order.

        A type or a default may be said once of several places. Raises `InvalidTemplateError` for a type that there is
        not, for a name with two types or two defaults, and for a default of another type.
        """
        found: dict[str, Placeholder] = {}
        typed: set[str] = set()
        for match in _matches(self.fields):
            name, default = match["name"], match["default"]
            before = found.get(name)
            if match["kind"] is not None:
                kind = _kind(match["kind"], match[0])
                if name in typed and before is not None and before.kind is not kind:
                    raise InvalidTemplateError(f"{name} is a {before.kind} in one place and a {kind} in another")
                typed.add(name)
            else:
                kind = before.kind if before else PlaceholderType.STR
            if before is not None and None not in {before.default, default} and before.default != default:
                raise InvalidTemplateError(f"{name} has two defaults: {before.default!a} and {default!a}")
            found[name] = Placeholder(name, kind, (before.default if before else None) if default is None else default)
        for placeholder in found.values():
            if placeholder.default is not None:
                placeholder.checked(placeholder.default)
        return found

    def values(self, given: Mapping[str, object]) -> dict[str, str]:
        """The value of every placeholder. Raises `InvalidTemplateError`, naming what is missing, unknown or wrong."""
        known = self.placeholders
        values = {name: _known(name, known).checked(_text(value)) for name, value in given.items()}
        missing = [name for name, each in known.items() if name not in values and each.default is None]
        if missing:
            raise InvalidTemplateError(
                f"the template {self.reference} needs {', '.join(missing)}",
                hint=" ".join(f"--set {name}={known[name].kind.upper()}" for name in missing),
            )
        defaults = {name: each.default for name, each in known.items() if each.default is not None}
        return {name: values.get(name, defaults.get(name, "")) for name in known}

    def render(self, given: Mapping[str, object]) -> JsonObject:
        """What is asked for with these values. Raises what `values` raises."""
        values, known = self.values(given), self.placeholders
        return {key: _filled(value, values, known, key == _CONDITION) for key, value in self.fields.items()}

    def example_values(self, today: date) -> dict[str, str]:
        """Values to show it with: those that were given as examples, defaults, else any of the type."""
        known = self.placeholders
        return {
            name: self.examples.get(name, each.kind.example(today) if each.default is None else each.default)
            for name, each in known.items()
        }

    def to_json(self) -> JsonObject:
        """The template's JSON document."""
        return {
            "name": self.name,
            "version": self.version,
            "from": "config" if self.version is None else "database",
            "create": self.fields,
            "placeholders": [each.to_json() for each in self.placeholders.values()],
            "examples": dict(self.examples),
            "saved_at": None if self.saved_at is None else format_instant(self.saved_at),
            "actor": self.actor,
        }


@dataclass(frozen=True, slots=True)
class LateBinding:
    """What a late-bound wait remembers: its template, the values, and what was given beside them."""

    name: str
    version: int
    values: Mapping[str, str]
    given: JsonObject

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> LateBinding | None:
        """What a wait's ``wait_config`` says; ``None`` for one that is of no template."""
        found = config.get(TEMPLATE)
        if not isinstance(found, dict):
            return None
        return cls(found["name"], found["version"], found.get("set") or {}, found.get("given") or {})

    def to_config(self) -> JsonObject:
        """As ``wait_config`` keeps it."""
        return {"name": self.name, "version": self.version, "set": dict(self.values), "given": self.given}

    def __str__(self) -> str:
        said = "".join(f" {name}={text}" for name, text in self.values.items())
        return f"{self.name}@{self.version}{said}, late-bound: it follows what the template says"


def parse_values(texts: Sequence[str], option: str) -> dict[str, str]:
    """Read ``NAME=VALUE`` texts. Raises `InvalidTemplateError`, naming the option."""
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidTemplateError(f"{option} {text!a} is not NAME=VALUE")
        if values.setdefault(name, value) != value:
            raise InvalidTemplateError(f"{option} names {name!a} twice, with different values")
    return values


def example_fields(fields: JsonObject, today: date) -> JsonObject:
    """The fields with what they leave to whoever uses the template: somebody it is about, a date in the context."""
    found = dict(fields)
    if fields.get("type") == "for-event" or "stop-on" in fields:
        found.setdefault("contact", "ada@example.org")
    path = fields.get("field")
    if isinstance(path, str) and value_under(fields.get("context"), path) is None:
        day = today + timedelta(days=30)
        form = fields.get("field-format")
        parts = {"YYYY": f"{day:%Y}", "MM": f"{day:%m}", "DD": f"{day:%d}", "HH": "09", "mm": "00", "ss": "00"}
        text = day.isoformat() if form is None else re.sub("|".join(parts), lambda part: parts[part[0]], str(form))
        found["context"] = _with(dict(fields.get("context") or {}), path.split("."), text)
    return found


def refused_example(template: Template, values: Mapping[str, str], error: WaitStepError) -> InvalidTemplateError:
    """What to raise for a template that cannot work: with example values it was refused."""
    said = ", ".join(f"{name}={text}" for name, text in values.items())
    with_ = f" with {said}" if said else ""
    hint = error.hint
    if said and hint is None:
        hint = "--example NAME=VALUE gives a value that is more likely"
    return InvalidTemplateError(f"{template.name} cannot create a wait{with_}: {error.message}", hint=hint)


# -- placeholders in values --------------------------------------------------------------------------------------------


def _matches(value: object) -> Iterator[re.Match[str]]:
    if isinstance(value, str):
        yield from (match for match in _PLACEHOLDER.finditer(value) if match["literal"] is None)
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _matches(each)


def _kind(text: str, where: str) -> PlaceholderType:
    if text not in set(PlaceholderType):
        raise InvalidTemplateError(f"{where}: there is no type {text!a}", hint=f"of {', '.join(PlaceholderType)}")
    return PlaceholderType(text)


def _known(name: str, known: Mapping[str, Placeholder]) -> Placeholder:
    if name not in known:
        from difflib import get_close_matches  # only on the way out

        near = get_close_matches(name, known, 1)
        there = f"it has {', '.join(known)}" if known else "it has none"
        hint = f"did you mean {near[0]}?" if near else there
        raise InvalidTemplateError(f"the template has no placeholder {name!a}", hint=hint)
    return known[name]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return to_json(value) if isinstance(value, bool | int | float) else str(value)


def _filled(value: Any, values: Mapping[str, str], known: Mapping[str, Placeholder], as_literal: bool) -> Any:
    if isinstance(value, dict):
        return {key: _filled_json(each, values, known) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, values, known, as_literal) for each in value]
    if not isinstance(value, str):
        return value

    def put(match: re.Match[str]) -> str:
        if match["literal"] is not None:
            return f"{{{match['literal']}}}"
        text, quote = values[match["name"]], match["quote"]
        if not as_literal:
            return f"{quote}{text}{quote}"
        is_number = known[match["name"]].kind in {PlaceholderType.INT, PlaceholderType.NUMBER}
        return text if is_number and not quote else to_json(text)

    return _PLACEHOLDER.sub(put, value)


def _filled_json(value: Any, values: Mapping[str, str], known: Mapping[str, Placeholder]) -> Any:
    """A value within a JSON document: what is nothing but a number's placeholder is that number."""
    if isinstance(value, str):
        whole = _PLACEHOLDER.fullmatch(value)
        if whole is not None and whole["name"] is not None and not whole["quote"]:
            kind, text = known[whole["name"]].kind, values[whole["name"]]
            if kind is PlaceholderType.INT:
                return int(text)
            if kind is PlaceholderType.NUMBER:
                return float(text)
        return _filled(value, values, known, False)
    if isinstance(value, list):
        return [_filled_json(each, values, known) for each in value]
    return _filled(value, values, known, False)


def _with(document: JsonObject, path: Sequence[str], value: object) -> JsonObject:
    name, *rest = path
    inner = document.get(name)
    return document | {name: _with(dict(inner) if isinstance(inner, dict) else {}, rest, value) if rest else value}
