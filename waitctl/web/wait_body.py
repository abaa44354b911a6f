"""The body that asks for a wait: the options of `create` by their long names, as a line of `create --file` has them."""

from __future__ import annotations

from typing import Any

from waitctl.application.waits.forms import REQUIRED, keys_of, read_options, routed, unknown_key, wait_request
from waitctl.application.waits.requests import WaitRequest
from waitctl.domain.errors import InvalidWaitConfigurationError
from waitctl.domain.text import JsonObject, check_json_object, parse_json_object
from waitctl.domain.waits import WaitSpec

_OF_THE_PATH = ("workflow", "execution")
"""Options that the path says."""

_WORDS = {"types": "events"}
"""What an option is called in a body, where it has another name."""


def body_keys(form: str) -> tuple[dict[str, type], list[str]]:
    """The keys of a body of this form, and what each value is; and those that must be there."""
    kinds = {_word(name): kind for name, kind in keys_of(form).items() if name not in _OF_THE_PATH}
    return kinds, [_word(REQUIRED[form])] if form in REQUIRED else []


def _word(name: str) -> str:
    return _WORDS.get(name, name).replace("-", "_")


def read_wait(body: JsonObject, *, workflow: str, execution: str, timezone: str, key: str | None = None) -> WaitRequest:
    """The wait that a body asks for; ``timezone`` is that of a body without one, ``key`` what a header says.

    Raises `InvalidWaitConfigurationError`, and what `read_options` and `wait_request` raise.
    """
    names = {word: name for name, word in _WORDS.items()}
    given = {names.get(word, word): value for word, value in body.items()}
    for name in _OF_THE_PATH:
        if name in given:
            raise unknown_key(name, ())
    form, options = read_options(given)
    if key is not None and options.get("key", key) != key:
        raise InvalidWaitConfigurationError("the header Idempotency-Key and the body's key differ")
    spec = WaitSpec(
        workflow_execution_id=execution,
        step_id=options.get("step", "wait"),
        workflow_id=workflow,
        contact_id=options.get("contact"),
        context=_context(options.get("context")),
        idempotency_key=key or options.get("key"),
    )
    return wait_request(form, options, routed(spec, options, timezone))


def _context(given: Any) -> JsonObject | None:
    if given is None:
        return None
    if isinstance(given, str):
        return parse_json_object(given, "the context")
    return check_json_object(given, "the context")
