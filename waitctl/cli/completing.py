"""What Tab offers in the place of an id or a name. Nothing here may fail: a shell has no place for an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from waitctl.cli.session import Session

if TYPE_CHECKING:
    from waitctl.infrastructure.database import Database

Pairs = list[tuple[str, str]]


def _session(context: Any) -> Session:
    """The session of the options before the command, which Tab only reads."""
    given = context.find_root().params
    return Session(given.get("database_url"), given.get("config"))


@contextmanager
def _database(context: Any) -> Iterator[Database]:
    with _session(context).database() as database:
        yield database


def _from_database(name: str, **asked: Any) -> Callable[[Any, str], Pairs]:
    """What `suggesting` has under this name, when it is asked for so."""

    def complete(ctx: Any, incomplete: str) -> Pairs:
        try:
            from waitctl.application import suggesting

            with _database(ctx) as database:
                found: Pairs = getattr(suggesting, name)(database, incomplete, **asked)
            return found
        except Exception:  # noqa: BLE001 (see above)
            return []

    return complete


complete_wait = _from_database("suggest_waits")
complete_execution = _from_database("suggest_executions")
complete_delivery = _from_database("suggest_deliveries")
complete_event = _from_database("suggest_events")
_templates_of_database = _from_database("suggest_templates")
complete_quarantined = _from_database("suggest_quarantined")
complete_recurrence = _from_database("suggest_recurrences")
complete_plan = _from_database("suggest_plans")
complete_contact = _from_database("suggest_contacts")


def complete_type(ctx: Any, incomplete: str) -> Pairs:
    """Event types, also behind the comma or the bar of a list of them."""
    from waitctl.application import suggesting

    cut = max(incomplete.rfind(","), incomplete.rfind("|")) + 1
    before, typed = incomplete[:cut], incomplete[cut:]
    try:
        with _database(ctx) as database:
            found = suggesting.suggest_types(database, typed)
    except Exception:  # noqa: BLE001 (there is none yet)
        found = suggesting.suggest_types(None, typed)
    return [(before + name, what) for name, what in found]


def complete_handler(ctx: Any, incomplete: str) -> Pairs:
    """The handlers of the config file; behind ``OUTCOME=``, too."""
    outcome, equals, typed = incomplete.rpartition("=")
    try:
        known = _session(ctx).settings().handlers
    except Exception:  # noqa: BLE001
        return []
    return [(f"{outcome}{equals}{name}", "a handler") for name in known if name.startswith(typed)]


def complete_template(ctx: Any, incomplete: str) -> Pairs:
    """The templates of this host's config and of the database."""
    try:
        known = [name for name in _session(ctx).settings().templates if name.startswith(incomplete)]
    except Exception:  # noqa: BLE001
        return []
    of_config = [(name, "a template of the config") for name in known]
    return of_config + [each for each in _templates_of_database(ctx, incomplete) if each[0] not in known]


def complete_placeholder(ctx: Any, incomplete: str) -> Pairs:
    """What the template in the line wants: ``days=``."""
    try:
        from waitctl.application.operations.templates import TemplateService

        name = ctx.params.get("template") or ctx.args[0]  # an option without its value leaves the words before unread
        with _database(ctx) as database:
            found = TemplateService(database, settings=_session(ctx).settings()).get(name)
        return [
            (f"{name}=", each.kind.value) for name, each in found.placeholders.items() if name.startswith(incomplete)
        ]
    except Exception:  # noqa: BLE001
        return []


def complete_zone(_: Any, incomplete: str) -> Pairs:
    """IANA zones, by any beginning, whatever its case."""
    from waitctl.domain.clocks import available_timezones

    names = sorted(name for name in available_timezones() if name.lower().startswith(incomplete.lower()))
    return [(name, "a time zone") for name in names]


def complete_calendar(ctx: Any, incomplete: str) -> Pairs:
    """Calendars: the config file's, countries, their parts, stock exchanges."""
    try:
        from waitctl.application.calendars.browsing import CalendarBrowser

        found = CalendarBrowser(_session(ctx).settings()).list_calendars(incomplete)
        return [(name, str(kind)) for name, kind in found.items()]
    except Exception:  # noqa: BLE001
        return []


def complete_topic(ctx: Any, incomplete: str) -> Pairs:
    """What there is help about; behind the first word the help is found."""
    from waitctl.cli.app import COMMANDS
    from waitctl.cli.helping import TOPICS

    if ctx.params.get("words"):
        return []
    known = [*((topic, "a topic") for topic in TOPICS), *((name, words) for name, (_, words) in COMMANDS.items())]
    return [(name, what) for name, what in known if name.startswith(incomplete)]


_BY_METAVAR: dict[str, Callable[..., Any]] = {
    "WAIT": complete_wait,
    "EVENT": complete_event,
    "TYPE": complete_type,
    "ZONE": complete_zone,
    "TEMPLATE": complete_template,
    "RECURRENCE": complete_recurrence,
    "PLAN": complete_plan,
    "CONTACT": complete_contact,
    "[OUTCOME=]NAME": complete_handler,
    "[TOPIC|COMMAND…]": complete_topic,
}
_BY_OPTION: dict[str, Callable[..., Any]] = {
    "--execution": complete_execution,
    "--handler": complete_handler,
    "--calendar": complete_calendar,
    "--window-calendar": complete_calendar,
    "--set": complete_placeholder,
}
_BY_GROUP: dict[tuple[str | None, str], Callable[..., Any]] = {
    ("delivery", "ID"): complete_delivery,
    ("quarantine", "ID"): complete_quarantined,
    ("calendar", "NAME"): complete_calendar,
    ("types", "NAME"): complete_type,
    ("template", "NAME"): complete_template,
}

_OPEN: dict[str, Callable[..., Any]] = {
    "WAIT": _from_database("suggest_waits", only_open=True),
    "--execution": _from_database("suggest_executions", only_open=True),
}
_ACTS_ON: dict[tuple[str | None, str], dict[str, Callable[..., Any]]] = {
    **{(None, name): _OPEN for name in ("cancel", "resume", "reschedule", "update", "replan", "await")},
    **{("bulk", name): _OPEN for name in ("cancel", "resume", "reschedule")},
    ("delivery", "retry"): {"ID": _from_database("suggest_deliveries", statuses=("pending", "dead", "dropped"))},
    ("delivery", "drop"): {"ID": _from_database("suggest_deliveries", statuses=("pending", "dead"))},
    ("recurring", "pause"): {"RECURRENCE": _from_database("suggest_recurrences", statuses=("active",))},
    ("recurring", "unpause"): {"RECURRENCE": _from_database("suggest_recurrences", statuses=("paused",))},
    ("recurring", "stop"): {"RECURRENCE": _from_database("suggest_recurrences", statuses=("active", "paused"))},
    ("bulk", "apply"): {"PLAN": _from_database("suggest_plans", statuses=("planned", "applying"))},
    ("bulk", "undo"): {"PLAN": _from_database("suggest_plans_to_undo")},
}
"""What a command changes: none is offered that it would refuse, or that is so already."""


def offer(command: Any, group: str | None = None) -> None:
    """Let a command, and those below it, offer on Tab what its parameters take: told by how the help names that."""
    acts_on = _ACTS_ON.get((group, command.name), {})
    for parameter in command.params:
        metavar = parameter.metavar or ""
        first = re.match("[A-Z]*", metavar)
        name = first[0] if first else ""
        found = next((acts_on[each] for each in (name, *parameter.opts) if each in acts_on), None)
        found = found or next((_BY_OPTION[option] for option in parameter.opts if option in _BY_OPTION), None)
        found = found or _BY_METAVAR.get(metavar) or _BY_METAVAR.get(name) or _BY_GROUP.get((group, name))
        if found is None and "|" in metavar and metavar.islower():
            found = partial(_words, metavar.split("|"))
        if found is not None:  # one table instead of a word on each of them
            parameter._custom_shell_complete = partial(_items, found)  # noqa: SLF001
    for title, child in getattr(command, "commands", {}).items():
        offer(child, title if hasattr(child, "commands") else group)


def _words(words: list[str], _: Any, incomplete: str) -> Pairs:
    return [(word, "") for word in words if word.startswith(incomplete)]


def _items(complete: Callable[..., Any], context: Any, _: Any, incomplete: str) -> list[Any]:
    from typer._click.shell_completion import CompletionItem

    found = complete(context, incomplete)
    return [CompletionItem(text, help=what) for text, what in found]
