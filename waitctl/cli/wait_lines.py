"""A line of a file of waits: what its command line would be.

Its keys are the long names of the options of `create`; `waitctl.application.waits.forms` knows what each means.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from waitctl.application.waits.forms import RECURRING, read_options, routed, wait_request
from waitctl.application.waits.requests import Alike, WaitRequest
from waitctl.cli.create_options import delivery_key
from waitctl.cli.session import Session
from waitctl.domain.errors import InvalidTemplateError, InvalidWaitConfigurationError
from waitctl.domain.text import JsonObject, check_json_object, parse_json_object, to_json
from waitctl.domain.values import dataclass
from waitctl.domain.waits import Own, WaitSpec
from waitctl.infrastructure.ids import new_id

if TYPE_CHECKING:
    from waitctl.domain.templates import Template

_ITS_OWN = ("execution", "step", "workflow", "contact", "context", "key")
"""What differs from line to line; of the rest a file has few combinations, and each is read once."""

_TEXT = frozenset({str, type(None)})

_MOST_FORMS = 10_000
"""Combinations that are remembered."""


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

    def read(self, number: int, fields: JsonObject) -> WaitRequest | Alike:
        """What the line of this number asks for.

        Raises `InvalidWaitConfigurationError` for keys or types that no option has, and what the form raises.
        """
        if "template" in fields and self._find_template is not None:
            fields = self._by_template(fields, self._find_template)
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
        elif context is not None and not isinstance(context, dict):
            check_json_object(context, "the context")
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
        return Alike(found, Own(execution, step, workflow, contact, context, key))

    def _by_template(self, fields: JsonObject, find_template: Callable[[str], Template]) -> JsonObject:
        """What a line asks for by a template; its own keys go before what that says."""
        own = {key.replace("_", "-"): value for key, value in fields.items()}
        reference, values = own.pop("template"), own.pop("set", {})
        if not isinstance(reference, str) or not isinstance(values, dict):
            raise InvalidTemplateError("'template' must be a string, and 'set' an object")
        if "late-bound" in own:
            raise InvalidTemplateError(
                "a wait of a file is not late-bound", hint=f"waitctl template use {reference} --late-bound"
            )
        found = self._templates.get(reference)
        if found is None:
            found = self._templates[reference] = find_template(reference)
        if found.fields.get("type") == RECURRING:
            raise InvalidTemplateError(
                f"{reference} is of a wait that comes again, and a line is of one",
                hint=f"waitctl template use {reference}",
            )
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
        form, options = read_options(rest)
        spec = routed(spec, options, self._session.settings().timezone)
        self.handlers.update([spec.handler, *(spec.handlers or {}).values()])
        return wait_request(form, options, spec)


def _no_text(own: Sequence[object]) -> InvalidWaitConfigurationError:
    wrong = [name for name, value in zip(_ITS_OWN, own, strict=True) if type(value) not in _TEXT and name != "context"]
    return InvalidWaitConfigurationError(f"{wrong[0]!r} must be a string")
