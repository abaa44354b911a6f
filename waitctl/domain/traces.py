"""Traces: who has caused a wait, or its event, as W3C Trace Context writes it; handed on as links.

A link and never a parent: the span that created a wait ended long before what runs after it.
"""

from __future__ import annotations

from waitctl.domain.patterns import pattern
from waitctl.domain.text import JsonObject

KEY = "traceparent"
"""Where it stands in a wait's ``wait_config``, and in an event's data."""

_FORM = pattern(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def read_traceparent(value: object) -> str | None:
    """A ``traceparent``; ``None`` for anything else, which is to be ignored (Trace Context, section 3.2.2)."""
    return value if isinstance(value, str) and _FORM.fullmatch(value) else None


def trace_links(wait_config: JsonObject, data: JsonObject | None) -> list[str]:
    """What a wait and the event that ended it are to be linked to."""
    documents = (wait_config, data if isinstance(data, dict) else {})  # too deep a one is the text that it is
    found = (read_traceparent(each.get(KEY)) for each in documents)
    return list(dict.fromkeys(link for link in found if link is not None))
