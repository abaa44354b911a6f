"""Conditions in CEL: what they see, what they may cost, and that nothing that they are given stops anybody."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waitctl.domain.conditions import MAX_CONDITION, ConditionError, check_condition, holds
from waitctl.domain.errors import InvalidWaitConfigurationError

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def ask(text: str, data: Any = None, context: dict[str, Any] | None = None) -> bool:
    check_condition(text)
    return holds(
        text, event_type="email_open", contact_id="ada", data=data or {}, at=AT, source="mailer", context=context
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True),
        ("false // no", False),
        ("event.type == 'email_open' && event.contact == 'ada' && event.source == 'mailer'", True),
        ("event.at == timestamp('2026-03-01T12:00:00Z')", True),
        ("event.at < timestamp('2026-03-01T12:00:00Z')", False),
        ("event.data.n > 2", True),
        ("event.data.n == 3.0", True),
        ("event.data.price < 10.0", True),
        ("event.data.big > 9007199254740993", True),
        ("has(event.data.missing)", False),
        ("has(event.data.missing) || event.data.n == 3", True),
        ("event.data.missing == 1 || true", True),
        ("event.data['n'] in [1, 2, 3]", True),
        ("event.data.items.exists(i, i.sku == 7 && i.tags.exists(t, t == 'x'))", True),
        ("event.data.items.all(i, i.sku > 7)", False),
        ("event.data.items.map(i, i.sku) == [7, 8]", True),
        ("event.data.items.filter(i, i.sku > 7).size() == 1", True),
        ("event.data.url.matches('^https://[^/]+/plan')", True),
        ("event.data.url.startsWith('https://') && event.data.url.contains('/plan')", True),
        ("wait.context.plan == 'pro'", True),
        ("type(event.data.n) == int", True),
        ("string(event.data.n) + '+' == '3+'", True),
        ("event.at.getFullYear() == 2026", True),
        ("\"it's (\" != '+ matches('", True),
        ("r'(' == '\\x28'", True),
        ("event.data.items.all(event, event.sku > 6)", True),
        ("event.data.event.dta == 1 && 'event.dta' != ''", True),
        ("{'event': {'dta': 1}}.event.dta == 1", True),
    ],
)
def test_what_it_says(text: str, expected: bool) -> None:
    items = [{"sku": 7, "tags": ["a", "x"]}, {"sku": 8, "tags": []}]
    data = {"n": 3, "event": {"dta": 1}, "price": 9.5, "big": 2**70, "url": "https://shop.example/plan", "items": items}
    assert ask(text, data, {"plan": "pro"}) is expected


@pytest.mark.parametrize(
    ("text", "data", "reason"),
    [
        ("event.data.missing == 1", {}, "no such key: missing"),
        ("event.data.a.b == 1", {"a": None}, "No such overload"),
        ("event.data.n + 'a' == 'b'", {"n": 1}, "No such overload"),
        ("event.data.n", {"n": 1}, "No such overload"),
        ("event.type", {}, "No such overload"),
        ("event.data.l[7] == 1", {"l": []}, "index out of bounds"),
        ("1 / event.data.n == 1", {"n": 0}, "division by zero"),
        ("wait.context.plan == 'pro'", {}, "no such key: plan"),
        ("event.data.l == 1 || event.data.x", {"l": 2, "x": "\udc00"}, "."),
        ("event.data.l.exists(x, event.data.l.exists(y, x < y - 99))", {"l": list(range(1000))}, "too costly"),
    ],
)
def test_neither_yes_nor_no(text: str, data: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConditionError, match=reason) as error:
        ask(text, data)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) <= 300


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("x" * (MAX_CONDITION + 1), "longer than 4,096 bytes"),
        ("'\udc00' == event.type", "surrogates"),
        ("event.type ==", "line 1, character 14"),
        ("true &&\n\nevent.type == )", "line 3, character 15"),
        ("true) || (true", "line 1, character 5"),
        ("nope == 1", "no 'nope' \\(character 1\\)"),
        ("true || event.dta.n == 1", "no 'event.dta' \\(character 9\\)"),
        ("wait . contact == 'ada'", "no 'wait.contact'"),
        ("event.type == 'a' && lower(event.type) == 'b'", "no 'lower' \\(character 22\\)"),
        ("event.type.matches(event.data.pattern)", "literal pattern"),
        ("matches(event.type, 'a')", "literal pattern"),
        ("event.type.matches('(')", "not a valid regex"),
        ("event.data.l.exists(x, x.matches('a'))", "macro"),
        ("'a'.matches('b')" + " || 'a'.matches('b')" * 4, "more than 4 matches"),
        ("1" + "+1" * 65 + " == 1", "more than 64"),
        ("['a']" + ".map(x, x + x)" * 30 + " == []", "too costly"),
        ("[1]" + ".map(x, [x, x, x, x, x, x, x, x])" * 8 + " == []", "too costly"),
    ],
)
def test_what_is_refused_at_once(text: str, reason: str) -> None:
    with pytest.raises(InvalidWaitConfigurationError, match=reason) as error:
        check_condition(text)
    assert "\n" not in error.value.message


HEAVY = [
    "event.data.l.all(x, x in event.data.l)",
    "event.data.l.map(x, event.data.l) == []",
    "event.data.l.exists(x, event.data.l.exists(y, x + y < 0))",
    "event.data.s + event.data.s" + " + event.data.s" * 60 + " == ''",
    "[event.data.s].exists(x, x" + " + x" * 60 + " == '')",
    "event.data.s.matches('(a*)*b') || event.data.s.matches('(x+x+)+y')",
    "event.data.l.filter(x, x > 0).map(x, [x, x, x]).filter(x, x == event.data.l) == []",
]


@pytest.mark.parametrize("text", HEAVY, ids=range(len(HEAVY)))
@pytest.mark.parametrize("length", [100, 300, 3000, 60_000])
def test_nothing_takes_long(text: str, length: int) -> None:
    """Not a benchmark: unbounded, each of these is busy for minutes with one of the lengths."""
    began = time.process_time()
    try:
        ask(text, {"l": list(range(length)), "s": "a" * length * 4})
    except ConditionError as error:
        assert "too costly" in str(error)  # noqa: PT017
    assert time.process_time() - began < 10


@pytest.mark.usefixtures("uncounted")
@pytest.mark.parametrize("shape", ["(", "[", "!", "-", "{1:", "size(", "true?", "event.data.a", "a.", "[1].map(x,"])
def test_no_shape_of_text_ends_the_process(shape: str) -> None:
    """A stack that overflows in the library would be no exception. A process of its own shows it."""
    program = (
        "import sys; from waitctl.domain.conditions import check_condition\n"
        "from waitctl.domain.errors import InvalidWaitConfigurationError\n"
        f"for tail in ('', 'true', '1'):\n"
        f"    text = ({shape!r} * 4096)[:4090] + tail\n"
        "    try: check_condition(text).holds({'event': {}, 'wait': {}})\n"
        "    except Exception as error: print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-500:]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    text=st.lists(
        st.sampled_from(
            "event wait . type data context a b x ( ) [ ] { } , + - * / % ! && || == < in 1 2.5 'a' \"b\" r'\\' exists map all has "
            "matches size ? : // null true false # \n \ud800 é".split(" ")
        )
        | st.text(max_size=3),
        max_size=25,
    ).map(" ".join)
)
def test_any_text_is_an_answer_or_a_reason(text: str) -> None:
    try:
        assert ask(text, {"a": [1], "b": {"x": None}}) in {True, False}
    except (ConditionError, InvalidWaitConfigurationError) as error:
        assert str(error)  # noqa: PT017


def test_the_librarys_shell_is_not_loaded() -> None:
    """It is for people, and costs a third of a second."""
    program = (
        "import sys; from waitctl.domain.conditions import check_condition; check_condition('true');"
        "print('prompt_toolkit' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
