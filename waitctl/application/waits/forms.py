"""The forms of a wait, each asked for by the long names of the options of `create`.

The command line, a line of a file and the body of a request say the same: what a name means is said here alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from waitctl.application.waits.requests import WaitRequest
from waitctl.domain.contacts import OF_CONTACT
from waitctl.domain.durations import Duration, parse_duration
from waitctl.domain.errors import InvalidTimeoutError, InvalidWaitConfigurationError
from waitctl.domain.handlers import parse_routes
from waitctl.domain.hours import parse_hours
from waitctl.domain.instants import Dst, parse_instant
from waitctl.domain.intents import Past, Roll, Rules, parse_time_of_day
from waitctl.domain.late import Late
from waitctl.domain.listeners import EventQuery, Mode
from waitctl.domain.text import JsonObject, did_you_mean, parse_json_object, to_json
from waitctl.domain.values import replace
from waitctl.domain.waits import WaitSpec

Options = Mapping[str, Any]
"""What is given, by its long name: texts as they are typed, flags, numbers, and lists of what may be repeated."""

COMMON: Mapping[str, type] = {
    **dict.fromkeys(("execution", "step", "workflow", "contact", "key", "tz", "tz-field", "calendar"), str),
    **dict.fromkeys(("window", "quiet-hours", "max-late", "spread", "from"), str),
    "context": dict,
    "handler": list,
    "dst": Dst,
    "late": Late,
    "replace": bool,
}
"""What every form takes, and what each value is: a list may be one text or an object of pairs, an object its JSON."""

FORMS: Mapping[str, Mapping[str, type]] = {
    "fixed-time": {"duration": str, "at": str, "on": str},
    "until-date": {
        **dict.fromkeys(("date", "offset", "field", "field-format", "on"), str),
        "roll": Roll,
        "past": Past,
    },
    "until-time": {"time": str, "days": str},
    "for-event": {
        "types": tuple,
        "match": list,
        "match-json": dict,
        **dict.fromkeys(("where", "distinct", "timeout", "at", "until", "window-calendar", "lookback", "grace"), str),
        **dict.fromkeys(("human", "all", "timeout-window", "exclusive"), bool),
        "count": int,
    },
}
"""What each form takes beside those; a tuple is one text with commas, or a list."""

RECURRING = "recurring"
"""What templates may ask for beside the forms: a wait that comes again."""

RECURRENCE: Mapping[str, type] = {
    **dict.fromkeys(("every", "cron", "rrule", "at", "on", "until", "stop-on"), str),
    "fixed": bool,
    "count": int,
}
"""What that takes."""

REQUIRED: Mapping[str, str] = {"fixed-time": "duration", "until-time": "time", "for-event": "types"}

# -- what is asked for -------------------------------------------------------------------------------------------------


def wait_request(form: str, options: Options, spec: WaitSpec) -> WaitRequest:
    """The wait that a form's options ask for. Raises what `WaitRequest` raises, naming the option."""
    how = how_of(options)
    match form:
        case "for-event":
            return WaitRequest.for_event(_query(options), spec, **how)
        case "fixed-time":
            own = _given(options, "at", "on")
            return WaitRequest.fixed_time(options["duration"], spec, rules=rules_of(options), **own, **how)
        case "until-date":
            own = _given(options, "offset", "field", "field-format", "on", "roll", "past")
            return WaitRequest.until_date(options.get("date"), spec, rules=rules_of(options), **own, **how)
        case _:
            own = _given(options, "days")
            return WaitRequest.until_time(options["time"], spec, rules=rules_of(options), **own, **how)


def _given(options: Options, *names: str) -> dict[str, Any]:
    return {name.replace("-", "_"): options[name] for name in names if options.get(name) is not None}


def how_of(options: Options) -> dict[str, Any]:
    """The arguments that every form of `WaitRequest` takes. Raises `InvalidWaitDateError`."""
    base = options.get("from")
    return {
        "base": None if base is None else parse_instant(base, "--from"),
        "replace_open": options.get("replace", False),
    }


def rules_of(options: Options) -> Rules:
    """What the instant must obey. Raises `InvalidWaitConfigurationError`."""
    window, quiet, late = options.get("window"), options.get("quiet-hours"), options.get("late")
    return Rules(
        dst=Dst(options.get("dst") or Dst.COMPATIBLE),
        calendar=options.get("calendar"),
        window=None if window is None else parse_hours(window, "--window"),
        quiet=None if quiet is None else parse_hours(quiet, "--quiet-hours"),
        late=None if late is None else Late(late),
        max_late=_span(options, "max-late"),
        spread=_span(options, "spread"),
    )


def routed(spec: WaitSpec, options: Options, timezone: str) -> WaitSpec:
    """A spec with the handlers that the options name, and their zone or else ``timezone``.

    Raises `InvalidWaitConfigurationError`.
    """
    routes, zone = parse_routes(options.get("handler") or ()), options.get("tz")
    return replace(
        spec,
        handler=routes.default,
        handlers=routes.by_outcome,
        timezone=timezone if zone in {None, OF_CONTACT} else str(zone),
        zone_field=options.get("tz-field"),
        zone_of_contact=zone == OF_CONTACT,
    )


def _query(options: Options) -> EventQuery:
    rules, calendar = rules_of(options), options.get("calendar")
    held_by = options.get("window-calendar") or (calendar if options.get("window") else None)
    held_by = None if held_by == "none" else held_by
    match, contains = options.get("match"), options.get("match-json")
    timeout, at = options.get("timeout"), options.get("at")
    return EventQuery(
        event_types=tuple(name.strip() for name in options["types"].split(",")),
        match=_pairs(match) if match else None,
        match_json=parse_json_object(contains, "--match-json") if isinstance(contains, str) else contains,
        timeout=None if timeout is None else parse_duration(timeout, error=InvalidTimeoutError, business=True),
        lookback=_duration(options.get("lookback", "1m"), "lookback"),
        grace=_duration(options.get("grace", "0"), "grace"),
        exclusive=options.get("exclusive", False),
        rules=replace(rules, calendar=held_by),
        where=options.get("where"),
        human=options.get("human", False),
        mode=Mode.ALL if options.get("all") else Mode.ANY,
        count=options.get("count"),
        distinct=options.get("distinct"),
        timeout_window=options.get("timeout-window", False),
        at=None if at is None else parse_time_of_day(at),
        until=options.get("until"),
        timeout_calendar=None if calendar == held_by else calendar,
    )


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InvalidWaitConfigurationError(f"--match {text!a} is not KEY=VALUE")
        if pairs.setdefault(key, value) != value:
            raise InvalidWaitConfigurationError(f"--match names {key!a} twice, with different values")
    return pairs


def _span(options: Options, name: str) -> Duration | None:
    text = options.get(name)
    return None if text is None else _duration(text, name)


def _duration(text: str, name: str) -> Duration:
    try:
        return parse_duration(text, error=InvalidWaitConfigurationError, zero=True)
    except InvalidWaitConfigurationError as error:
        raise InvalidWaitConfigurationError(f"--{name}: {error.message}", hint=error.hint) from error


# -- what a JSON object says -------------------------------------------------------------------------------------------


def read_options(given: JsonObject) -> tuple[str, Options]:
    """The form that a JSON object names as its ``type``, and its options. A key may be written with ``-`` or ``_``.

    Raises `InvalidWaitConfigurationError` for a key that no option has, and a value that is none of its.
    """
    rest = _by_long_names(given)
    form = _form(rest.pop("type", None))
    options = _options(rest, keys_of(form))
    required = REQUIRED.get(form)
    if required is not None and required not in options:
        raise InvalidWaitConfigurationError(f"{required!r} is missing", hint=f"waitctl create {form} --help")
    return form, options


def read_recurrence(given: JsonObject) -> Options:
    """The options of a wait that comes again, as `read_options` reads those of a form.

    Raises `InvalidWaitConfigurationError` also for a key: a recurrence goes by its execution and step.
    """
    rest = _by_long_names(given)
    rest.pop("type", None)
    if "key" in rest:
        raise InvalidWaitConfigurationError("a recurrence goes by its execution and step, and takes no key")
    return _options(rest, keys_of(RECURRING))


def _by_long_names(given: JsonObject) -> JsonObject:
    return {key.replace("_", "-"): value for key, value in given.items() if value is not None}


def _options(given: JsonObject, kinds: Mapping[str, type]) -> Options:
    for key in given:
        if key not in kinds:
            raise unknown_key(key, kinds)
    return {key: _value(key, value, kinds[key]) for key, value in given.items()}


def keys_of(form: str) -> Mapping[str, type]:
    """Every option of a form, or of a wait that comes again, and what its value is."""
    return {**COMMON, **(RECURRENCE if form == RECURRING else FORMS[form])}


def _form(kind: object) -> str:
    choices = ", ".join(FORMS)
    if kind is None:
        raise InvalidWaitConfigurationError("'type' is missing", hint=f"one of {choices}")
    form = kind.replace("_", "-") if isinstance(kind, str) else ""
    if form == RECURRING:
        raise InvalidWaitConfigurationError(
            "a wait that comes again is none of a file's", hint="waitctl create recurring, or waitctl template use"
        )
    if form not in FORMS:
        hint = did_you_mean(form, [*FORMS]) or f"one of {choices}"
        raise InvalidWaitConfigurationError(f"there is no type {kind!a}", hint=hint)
    return form


def unknown_key(key: str, known: Iterable[str]) -> InvalidWaitConfigurationError:
    """What to raise for a key that is none of these; it names the nearest."""
    from difflib import get_close_matches

    near = get_close_matches(key, [*known, "type"], 1)
    return InvalidWaitConfigurationError(
        f"unknown key {key!a}", hint=f"did you mean {near[0]!r}?" if near else "the long names of the form's options"
    )


def _value(key: str, value: object, kind: type) -> Any:
    if kind is bool:
        return _yes_or_no(key, value)
    if kind is int:
        return _whole_number(key, value)
    if kind is list:
        return several_texts(key, value)
    if kind is dict and isinstance(value, dict):
        return value
    if kind is tuple and isinstance(value, list):
        return ",".join(several_texts(key, value))
    if not isinstance(value, str):
        raise InvalidWaitConfigurationError(f"{key!r} must be a string")
    if issubclass(kind, StrEnum) and value not in set(kind):
        raise InvalidWaitConfigurationError(f"{key!r}: {value!a} is none of {', '.join(kind)}")
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
