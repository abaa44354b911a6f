"""A line of a file of waits: what its command line would be.

Its keys are the long names of the options of `create`, and each is defined there alone.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache
from operator import itemgetter
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from typer.models import OptionInfo

from waitctl.application.waits.requests import WaitRequest
from waitctl.cli.create import FORMS, Asked, delivery_key
from waitctl.cli.session import Session
from waitctl.domain.errors import InvalidTemplateError, InvalidWaitConfigurationError
from waitctl.domain.text import JsonObject, parse_json_object, to_json
from waitctl.domain.waits import WaitSpec
from waitctl.infrastructure.ids import new_id

if TYPE_CHECKING:
    from waitctl.domain.templates import Template

_NOT_OF_A_LINE = frozenset({"context_", "context_raw", "dry_run", "output", "quiet"})
"""Parameters that say how a command is run."""

_ITS_OWN = ("execution", "step", "workflow", "contact", "context", "key")
"""What differs from line to line; of the rest a file has few combinations, and each is read once."""

_SHARED = ("timezone", "zone_field", "zone_of_contact", "handler", "handlers")
"""What lines of the same options have in common of where a wait belongs."""

_TEXT = frozenset({str, type(None)})

_MOST_FORMS = 10_000
"""Combinations that are remembered."""


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A parameter of a form: its name in Python, and what its values are."""

    name: str
    kind: Any
    is_required: bool
    is_argument: bool


@cache
def parameters_of(form: str) -> Mapping[str, _Parameter]:
    """The keys of a line of this form: the long names of its options, and the names of its arguments."""
    found: dict[str, _Parameter] = {}
    for parameter in inspect.signature(FORMS[form]).parameters.values():
        if parameter.name in _NOT_OF_A_LINE:
            continue
        kind, info = get_args(parameter.annotation)[:2]
        # Within `Annotated` Typer has the first of an option's names as its default.
        names = (info.default, *(info.param_decls or ())) if isinstance(info, OptionInfo) else ()
        key = next((name[2:] for name in names if isinstance(name, str) and name[:2] == "--"), parameter.name)
        is_required = parameter.default is inspect.Parameter.empty
        found[key] = _Parameter(parameter.name, _plain(kind), is_required, not isinstance(info, OptionInfo))
    return found


def _plain(kind: Any) -> Any:
    """The type of a value that is given."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if isinstance(kind, UnionType):
        return next(each for each in get_args(kind) if each is not type(None))
    return kind


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a line with these keys has what. ``own`` gets what is of `_ITS_OWN`, ``rest`` what is called ``names``."""

    names: tuple[str, ...]
    own: Callable[[tuple[Any, ...]], tuple[Any, ...]]
    rest: Callable[[tuple[Any, ...]], tuple[Any, ...]]
    reads_context: bool
    forms: dict[object, WaitRequest] = field(default_factory=dict)
    """By the values of `rest`, or their JSON, what was asked for by a line that had them."""

    @classmethod
    def of(cls, keys: Sequence[str]) -> _Layout:
        """The layout of lines with these keys, with None behind their values."""
        names = [key.replace("_", "-") for key in keys]
        own = [names.index(name) if name in names else len(names) for name in _ITS_OWN]
        rest = [place for place, name in enumerate(names) if name not in _ITS_OWN]
        none = len(names)
        return cls(
            tuple(names[place] for place in rest),
            itemgetter(*own),
            itemgetter(*rest, none, none),  # two at least, or it is no tuple
            any(names[place].endswith("field") for place in rest),
        )


class LineReader:
    """Reads lines, each a JSON object, as requests."""

    def __init__(self, session: Session, find_template: Callable[[str], Template] | None = None) -> None:
        self._session = session
        self._find_template = find_template
        self._templates: dict[str, Template] = {}
        self._delivery = os.environ.get("WAITCTL_DELIVERY_ID")
        self._layouts: dict[tuple[str, ...], _Layout] = {}
        self.handlers: set[str | None] = set()
        """Those that lines have named."""
        self.unnamed = 0
        """Lines with neither an execution nor a key: a second run cannot know them again."""

    def read(self, number: int, fields: JsonObject) -> WaitRequest:
        """What the line of this number asks for.

        Raises `InvalidWaitConfigurationError` for keys or types that no option has, and what the form raises.
        """
        if "template" in fields and self._find_template is not None:
            fields = self._by_template(fields)
        keys = tuple(fields)
        layout = self._layouts.get(keys)
        if layout is None:
            layout = self._layouts[keys] = _Layout.of(keys)
        values = (*fields.values(), None)
        own: tuple[Any, ...] = layout.own(values)
        execution, step, workflow, contact, context, key = own
        if not {type(execution), type(step), type(workflow), type(contact), type(key)} <= _TEXT:
            raise _no_text(own)
        if type(context) is str:
            context = parse_json_object(context, "the context")
        step = "wait" if step is None else step
        if key is None and (execution is None or self._delivery is not None):
            key = self._key(number, execution, step)
        execution = new_id() if execution is None else execution

        known: Any = layout.rest(values)
        try:
            found = layout.forms.get(known)
        except TypeError:  # a list, or an object
            known = to_json(known)
            found = layout.forms.get(known)
        if found is None:
            spec = WaitSpec(execution, step, workflow, contact, context, idempotency_key=key)
            return self._form(layout, known, layout.rest(values), spec)
        shared = found.spec
        zone, handler, handlers = shared.timezone, shared.handler, shared.handlers
        zone_from = (shared.zone_field, shared.zone_of_contact)
        spec = WaitSpec(execution, step, workflow, contact, context, handler, key, zone, handlers, None, *zone_from)
        return WaitRequest(found.asked, spec, found.rules, found.base, found.replace_open)

    def _by_template(self, fields: JsonObject) -> JsonObject:
        """What a line asks for by a template; its own keys go before what that says."""
        own = {key.replace("_", "-"): value for key, value in fields.items()}
        reference, values = own.pop("template"), own.pop("set", {})
        if not isinstance(reference, str) or not isinstance(values, dict):
            raise InvalidTemplateError("'template' must be a string, and 'set' an object")
        found = self._templates.get(reference)
        if found is None:
            assert self._find_template is not None
            found = self._templates[reference] = self._find_template(reference)
        return found.render(values) | own

    def _key(self, number: int, execution: str | None, step: str) -> str | None:
        """The key of a line that has none: inside a handler, which may run twice, one of the delivery and the line."""
        if self._delivery is not None:
            return delivery_key(self._delivery, f"{number if execution is None else execution}:{step}")
        self.unnamed += execution is None
        return None

    def _form(self, layout: _Layout, known: object, values: tuple[Any, ...], spec: WaitSpec) -> WaitRequest:
        """What is asked for by a line of this layout; kept for the next that differ in nothing but where they belong.

        Unless it is read out of the context, which is each line's own.
        """
        request = self._read_form(dict(zip(layout.names, values, strict=False)), spec)
        if not layout.reads_context:
            if len(layout.forms) >= _MOST_FORMS:
                layout.forms.clear()
            layout.forms[known] = request
        return request

    def _read_form(self, rest: JsonObject, spec: WaitSpec) -> WaitRequest:
        asked = read_form(rest, None if spec.context is None else to_json(spec.context))
        shared = asked.common.spec(self._session)
        self.handlers.update([shared.handler, *(shared.handlers or {}).values()])
        own = {name: getattr(shared, name) for name in _SHARED}
        return asked.request(replace(spec, **own))


def read_form(fields: JsonObject, context: str | None) -> Asked:
    """What is asked for by the long names of options; of the context, which is JSON, beside them.

    Raises `InvalidWaitConfigurationError` for keys or types that no option has, and what the form raises.
    """
    rest = {key: value for key, value in fields.items() if value is not None}
    kind = rest.pop("type", None)
    if kind is None:
        raise InvalidWaitConfigurationError("'type' is missing", hint=f"one of {', '.join(FORMS)}")
    form = kind.replace("_", "-") if isinstance(kind, str) else ""
    if form not in FORMS:
        raise InvalidWaitConfigurationError(f"there is no type {kind!a}", hint=f"one of {', '.join(FORMS)}")
    asked = Asked()
    parameters = parameters_of(form)
    given = {
        parameter.name: parameter.default
        for parameter in inspect.signature(FORMS[form]).parameters.values()
        if parameter.name != "context_"
    }
    for key, value in rest.items():
        if key not in parameters:
            raise unknown_key(key, parameters)
        given[parameters[key].name] = _value(key, value, parameters[key].kind)
    for key, parameter in parameters.items():
        if parameter.is_required and given[parameter.name] is inspect.Parameter.empty:
            raise InvalidWaitConfigurationError(f"{key!r} is missing", hint=f"waitctl create {form} --help")
    given["context_raw"] = context
    FORMS[form](context_=asked, **given)
    return asked


def _no_text(own: Sequence[object]) -> InvalidWaitConfigurationError:
    wrong = [name for name, value in zip(_ITS_OWN, own, strict=True) if type(value) not in _TEXT and name != "context"]
    return InvalidWaitConfigurationError(f"{wrong[0]!r} must be a string")


def unknown_key(key: str, parameters: Iterable[str]) -> InvalidWaitConfigurationError:
    """What to raise for a key that is none of these parameters; it names the nearest."""
    from difflib import get_close_matches

    near = get_close_matches(key, [*parameters, "type"], 1)
    return InvalidWaitConfigurationError(
        f"unknown key {key!a}", hint=f"did you mean {near[0]!r}?" if near else "the long names of the form's options"
    )


def _value(key: str, value: object, kind: Any) -> Any:
    """A value as the command line gives it to the form. Raises `InvalidWaitConfigurationError`."""
    if kind is bool:
        return _yes_or_no(key, value)
    if kind is int:
        return _whole_number(key, value)
    if get_origin(kind) is list:
        return several_texts(key, value)
    if isinstance(value, dict) and key.endswith("json"):
        return to_json(value)
    if key == "types" and isinstance(value, list):
        value = ",".join(several_texts(key, value))
    if not isinstance(value, str):
        raise InvalidWaitConfigurationError(f"{key!r} must be a string")
    if isinstance(kind, type) and issubclass(kind, Enum):
        choices = [str(each.value) for each in kind]
        if value not in choices:
            raise InvalidWaitConfigurationError(f"{key!r}: {value!a} is none of {', '.join(choices)}")
        return kind(value)
    return value


def _whole_number(key: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    raise InvalidWaitConfigurationError(f"{key!r} must be a whole number")


def _yes_or_no(key: str, value: object) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise InvalidWaitConfigurationError(f"{key!r} must be true or false")


def several_texts(key: str, value: object) -> list[str]:
    """What may be repeated: a text, a list of them, or an object whose pairs are KEY=VALUE.

    Raises `InvalidWaitConfigurationError` for anything else.
    """
    if isinstance(value, dict):
        value = [f"{name}={text if isinstance(text, str) else to_json(text)}" for name, text in value.items()]
    given = value if isinstance(value, list) else [value]
    texts = [text for text in given if isinstance(text, str)]
    if len(texts) < len(given):
        raise InvalidWaitConfigurationError(f"{key!r} must be a string, or a list of strings")
    return texts
