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

from waitctl.domain.conditions import MAX_CONDITION, ConditionError, Subject, check_condition, holds
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
        ("event.data.big > 9007199254740993 && -event.data.big < 0.0", True),
        ("event.data.bigger > 1e300 && event.data.bigger > event.data.big", True),
        ("has(event.data.missing)", False),
        ("has(event.data.missing) || event.data.n == 3", True),
        ("event.data.missing == 1 || true", True),
        ("event.data['n'] in [1, 2, 3]", True),
        ("event.data.items.exists(i, i.sku == 7 && i.tags.exists(t, t == 'x'))", True),
        ("event.data.items.all(i, i.sku > 7)", False),
        ("event.data.items.map(i, i.sku) == [7, 8]", True),
        ("event.data.items.filter(i, i.sku > 7).size() == 1", True),
        ("event.data.items.exists_one(i, i.sku == 7) && event.data.items.map(i, i.sku > 7, i.sku) == [8]", True),
        ("event.data.items.exists(i, i.tags.exists(t, t.matches('^[a-w]$')))", True),
        ("size(event.contact) == 4 && event.contact.size() == size('zo' + '\\u00eb!')", False),
        ("size(event.data.name) == 4 && event.data.name.size() == 4", True),
        ("size(event.data.smile) == 1 && size(bytes(event.data.smile)) == 4", True),
        ("event.data.items.all(i, size(string(i.sku) + event.data.name) == 5)", True),
        ("size(event.data.items) == 2 && size(event.data) == 10", True),
        ("event.data.name.matches('^J.rg$') && event.data.name.contains('ö') && event.data.name.endsWith('rg')", True),
        (
            "event.at.getHours('Europe/Berlin') == 13 && event.at.getHours('+05:30') == 17 && event.at.getHours() == 12",
            True,
        ),
        ("event.at.getDate() == 1 && event.at.getDayOfMonth() == 0 && event.at.getDayOfWeek('Asia/Tokyo') == 0", True),
        ("int(event.at) == 1772366400 && event.at - timestamp('2026-03-01T11:00:00Z') == duration('1h')", True),
        ("bool(event.data.ok) && event.data.ok == 'true'", True),
        ("-event.data.n == -3 && -event.data.price < -9.0", True),
        ("event.data.n > 1u && event.data.n < 3.5 && 'n' in event.data", True),
        ("{event.type: 1}[event.type] == 1 && b'\\x61' == bytes('a')", True),
        ("event.data.n != '3'", True),
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
    data |= {"name": "Jörg", "smile": "\U0001f600", "ok": "true", "bigger": 10**5000}
    assert ask(text, data, {"plan": "pro"}) is expected


@pytest.mark.parametrize(
    ("text", "data", "reason"),
    [
        ("event.data.missing == 1", {}, "no such key: missing"),
        ("event.data.a.b == 1", {"a": None}, "a key is asked of what has none"),
        ("event.data.n + 'a' == 'b'", {"n": 1}, "no such overload: _\\+_\\(int64, string\\)"),
        ("event.data.n", {"n": 1}, "an int, neither true nor false"),
        ("event.data.n", {"n": "yes"}, "a string, neither true nor false"),
        ("event.data.l[7] == 1", {"l": []}, "index=7 size=0"),
        ("1 / event.data.n == 1", {"n": 0}, "divide by zero"),
        ("-event.data.ok == 1", {"ok": False}, "no such overload: -_\\(bool\\)"),
        ("event.data.at.getHours(event.data.zone) == 1", {"at": "x", "zone": "UTC"}, "no such overload"),
        (
            "timestamp(event.data.at).getHours(event.data.zone) == 1",
            {"at": "2026-03-01T12:00:00Z", "zone": "?"},
            "zone",
        ),
        ("event.data.n == 1", ["n"], "."),
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
        ("event.type.matches('(')", "'\\(': invalid regular expression"),
        ("1" + "+1" * 65 + " == 1", "nested too deeply"),
        ("['a']" + ".map(x, x + x)" * 25 + " == []", "too costly"),
        # what can be evaluated for no event at all
        ("event.type", "a string, neither true nor false"),
        ("event.data", "a map, neither true nor false"),
        ("size(event.data.name)", "an int, neither true nor false"),
        ("-false", "no matching overload for '-_' applied to '\\(bool\\)'"),
        ("!1", "no matching overload"),
        ("event.type + 1 == ''", "no matching overload"),
        ("event.contact == 1", "no matching overload"),
        ("event.data > 1", "no matching overload"),
        ("event.data[0] == 1", "no matching overload"),
        ("event.at.size() == 1", "no matching overload"),
        ("event.at > '2026-03-01'", "no matching overload"),
        ("event.type.getHours() == 1", "no matching overload"),
        ("event.at.getHours(1) == 1", "no matching overload"),
        ("event.type.contains(1)", "no matching overload"),
        ("event.type.substring(1) == ''", "no 'substring'"),
        ("event.type.lowerAscii() == ''", "no 'lowerAscii'"),
        ("event.at.getHours('Europe/Berlim') == 1", "'Europe/Berlim': .*zone"),
        ("event.data.l.exists(x, event.at.getDayOfWeek('nowhere') == 1)", "'nowhere': .*zone"),
        ("event.at > timestamp('yesterday')", "'yesterday': .*Timestamp"),
        ("event.at > timestamp('2026-03-01')", "'2026-03-01': .*Timestamp"),
        ("event.at - event.at > duration('1d')", "'1d': .*Duration"),
        ("int('x') == 1", "'x': "),
        ("event.at.getHours('+25:00') == 1", "'\\+25:00': no zone"),
        ("event.at.getHours('-01:60') == 1", "'-01:60': no zone"),
        ("1/0 == 1", "divide by zero"),
        ("uint(-1) == 1u", "out of uint64 range"),
        ("[1, 2][5] == 1", "Index error"),
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
    "event.data.s + event.data.s" + " + event.data.s" * 25 + " == ''",
    "[event.data.s].exists(x, x" + " + x" * 25 + " == '')",
    "size([event.data.s]" + ".map(x, x + x)" * 12 + "[0]) > 0",
    "event.data.l.all(x, event.data.l == event.data.l)",
    "event.data.l.all(x, event.data.s + event.data.s != '')",
    "event.data.l.all(x, event.data.s.matches('(a*)*b'))",
    "event.data.l.filter(x, x > 2) == []",
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
        "import sys; from waitctl.domain.conditions import check_condition, holds\n"
        "from waitctl.domain.errors import InvalidWaitConfigurationError\n"
        f"for tail in ('', 'true', '1'):\n"
        f"    text = ({shape!r} * 4096)[:4090] + tail\n"
        "    try: check_condition(text) and holds(text, event_type='a', contact_id='a', data={}, at=None, source='s', context={})\n"
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


@pytest.mark.parametrize(
    "text",
    [
        "event.data.items.exists(i, i.sku == -1)",
        "event.data.items.exists(i, i.sku == wait.context.sku || i.sku == event.data.sku)",
        "event.data.items.all(i, i.tags.exists(t, t == 'a'))",
        "event.data.items.exists_one(i, i.sku == 7 && i.tags[0].matches('^a'))",
    ],
)
def test_what_is_linear_is_taken_however_long_the_list(text: str) -> None:
    """5,000 items, 200 KB: the cost is that of one pass, not of the whole event at each."""
    items = [{"sku": number, "tags": ["a"]} for number in range(4_900)]
    assert ask(text, {"items": items, "sku": 5}, {"sku": 5}) is (text.count("-1") == 0)


def test_an_event_without_an_instant_has_none_to_ask_for() -> None:
    subject = Subject(event_type="e", contact_id="c", data={"n": 1}, at=None, source="s")
    assert subject.holds("event.data.n == 1", None)
    with pytest.raises(ConditionError):
        subject.holds("event.at > timestamp('2026-03-01T11:00:00Z')", None)


def test_more_passes_than_the_library_makes() -> None:
    with pytest.raises(ConditionError, match="more than 10,000 passes"):
        ask("event.data.l.exists(x, x == -1)", {"l": list(range(10_001))})


def test_an_event_is_converted_once_for_all_conditions() -> None:
    """The context of a wait is another one each time, and must not be mixed up."""
    subject = Subject(event_type="e", contact_id="c", data={"n": 1}, at=AT, source="s")
    assert [subject.holds("event.data.n == wait.context.n", {"n": n}) for n in (1, 2, 1)] == [True, False, True]
    assert [subject.holds(f"event.data.n == {n}", {"n": 2}) for n in (1, 2)] == [True, False]


def test_what_start_up_does_not_load() -> None:
    """Conditions need the compiled library alone."""
    program = (
        "import sys; from waitctl.domain.conditions import check_condition; check_condition('true');"
        "print({'google.protobuf', 'prompt_toolkit', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
