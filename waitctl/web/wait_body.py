"""The body that asks for a wait: the options of `create` by their long names, as a line of `create --file` has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar

from waitctl.application.waits.results import WaitCreateResult
from waitctl.application.waits.scheduling import WaitSchedulingService
from waitctl.domain.durations import Duration, parse_duration
from waitctl.domain.errors import InvalidTimeoutError, InvalidWaitConfigurationError
from waitctl.domain.handlers import parse_routes
from waitctl.domain.hours import parse_hours
from waitctl.domain.instants import Dst, parse_instant
from waitctl.domain.intents import Late, Past, Roll, Rules
from waitctl.domain.listeners import EventQuery, Mode
from waitctl.domain.text import JsonObject, check_json_object
from waitctl.domain.waits import WaitSpec
from waitctl.web.filters import choice

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

COMMON: dict[str, type] = {
    **dict.fromkeys(("step", "contact", "key", "tz", "calendar", "window", "dst", "late", "max_late", "from"), str),
    "context": dict,
    "handler": list,
    "replace": bool,
}
"""The keys that every type of wait takes, and what their values are; a handler may be one text, too."""

FORMS: dict[str, dict[str, type]] = {
    "fixed-time": {"duration": str, "at": str},
    "until-date": {"date": str, "offset": str, "field": str, "roll": str, "past": str},
    "until-time": {"time": str, "days": str},
    "for-event": {
        "events": list,
        "match": dict,
        "match_json": dict,
        "where": str,
        "human": bool,
        "all": bool,
        "count": int,
        "distinct": str,
        "timeout": str,
        "timeout_window": bool,
        "lookback": str,
        "grace": str,
        "exclusive": bool,
    },
}
"""The keys of each type of wait beside those, and what their values are; the events may be one text, too."""

REQUIRED = {"fixed-time": "duration", "until-time": "time", "for-event": "events"}

_LOOKBACK = Duration(0, timedelta(minutes=1))

_NOUNS = {str: "a text", bool: "true or false", int: "a whole number", dict: "an object", list: "a list of texts"}


@dataclass(frozen=True, slots=True)
class WaitBody:
    """A wait that is asked for. What cannot be is refused by `parse`, with the option's name."""

    form: str
    given: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: JsonObject) -> WaitBody:
        """Read the body; keys may be written with ``-`` or ``_``. Raises `InvalidWaitConfigurationError`."""
        given = {name.replace("-", "_"): value for name, value in document.items() if value is not None}
        form = str(given.pop("type", "")).replace("_", "-")
        if form not in FORMS:
            raise InvalidWaitConfigurationError("the type of the wait is missing", hint=f"of {', '.join(FORMS)}")
        kinds = COMMON | FORMS[form]
        for name in given.keys() - kinds.keys():
            raise InvalidWaitConfigurationError(f"unknown key {name!a}", hint=", ".join(sorted(kinds)))
        for name in ("handler", "events"):
            if isinstance(given.get(name), str):
                given[name] = [each.strip() for each in given[name].split(",")] if name == "events" else [given[name]]
        for name, value in given.items():
            if type(value) is not kinds[name] or (
                isinstance(value, list) and not all(isinstance(each, str) for each in value)
            ):
                raise InvalidWaitConfigurationError(f"{name} must be {_NOUNS[kinds[name]]}")
        if (required := REQUIRED.get(form)) is not None and required not in given:
            raise InvalidWaitConfigurationError(f"{required!r} is missing")
        return cls(form, given)

    def create(
        self,
        service: WaitSchedulingService,
        *,
        workflow: str,
        execution: str,
        timezone: str,
        key: str | None = None,
        dry_run: bool = False,
    ) -> WaitCreateResult:
        """Create the wait. ``timezone`` is that of a body without one. Raises what the service raises."""
        given = self.given
        spec = self._spec(workflow, execution, timezone, key)
        how: dict[str, Any] = {
            "base": self._read("from", lambda text: parse_instant(text, "from")),
            "replace_open": given.get("replace", False),
            "dry_run": dry_run,
        }
        if self.form == "for-event":
            return service.create_event_wait(self._query(), spec, **how)
        how["rules"] = self._rules()
        match self.form:
            case "fixed-time":
                return service.create_fixed_time_wait(given["duration"], spec, at=given.get("at"), **how)
            case "until-date":
                return service.create_until_date_wait(
                    given.get("date"),
                    spec,
                    offset=given.get("offset"),
                    field=given.get("field"),
                    roll=self._choice("roll", Roll) or Roll.BACK,
                    past=self._choice("past", Past) or Past.REJECT,
                    **how,
                )
            case _:
                return service.create_until_time_wait(given["time"], spec, days=given.get("days"), **how)

    def _spec(self, workflow: str, execution: str, timezone: str, key: str | None) -> WaitSpec:
        given = self.given
        if key is not None and given.get("key", key) != key:
            raise InvalidWaitConfigurationError("the header Idempotency-Key and the body's key differ")
        routes = parse_routes(given.get("handler", ()))
        return WaitSpec(
            workflow_execution_id=execution,
            step_id=given.get("step", "wait"),
            workflow_id=workflow,
            contact_id=given.get("contact"),
            context=self._read("context", lambda value: check_json_object(value, "the context")),
            handler=routes.default,
            handlers=routes.by_outcome,
            idempotency_key=key or given.get("key"),
            timezone=given.get("tz", timezone),
        )

    def _rules(self) -> Rules:
        return Rules(
            dst=self._choice("dst", Dst) or Dst.COMPATIBLE,
            calendar=self.given.get("calendar"),
            window=self._read("window", lambda text: parse_hours(text, "window")),
            late=self._choice("late", Late),
            max_late=self._span("max_late"),
        )

    def _query(self) -> EventQuery:
        given = self.given
        none, lookback = Duration(), self._span("lookback")
        return EventQuery(
            event_types=tuple(given["events"]),
            match=self._read("match", _pairs),
            match_json=self._read("match_json", lambda value: check_json_object(value, "match_json")),
            timeout=self._read("timeout", lambda text: parse_duration(text, error=InvalidTimeoutError, business=True)),
            lookback=_LOOKBACK if lookback is None else lookback,
            grace=self._span("grace") or none,
            exclusive=given.get("exclusive", False),
            rules=self._rules(),
            where=given.get("where"),
            human=given.get("human", False),
            mode=Mode.ALL if given.get("all") else Mode.ANY,
            count=given.get("count"),
            distinct=given.get("distinct"),
            timeout_window=given.get("timeout_window", False),
        )

    def _read(self, name: str, read: Callable[[Any], T]) -> T | None:
        return read(self.given[name]) if name in self.given else None

    def _span(self, name: str) -> Duration | None:
        return self._read(name, lambda text: parse_duration(text, error=InvalidWaitConfigurationError, zero=True))

    def _choice(self, name: str, choices: type[E]) -> E | None:
        return self._read(name, lambda value: choice(choices, value, name))


def _pairs(given: Mapping[str, Any]) -> dict[str, str]:
    if not all(isinstance(value, str) for value in given.values()):
        raise InvalidWaitConfigurationError("match must be an object of texts", hint="match_json takes any values")
    return dict(given)
