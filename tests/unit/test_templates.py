"""Placeholders: what is found, what fits, and that a value never leaves the argument that it stands in."""

from __future__ import annotations

import shlex
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer import Context
from typer.main import get_command

from waitctl.application.operations.templates import parse_template
from waitctl.application.waits.command_lines import ARGUMENTS, command_line, parse_command_line
from waitctl.application.waits.forms import FORMS
from waitctl.cli.create import app
from waitctl.domain.conditions import check_condition, holds
from waitctl.domain.errors import InvalidTemplateError
from waitctl.domain.templates import Placeholder, PlaceholderType, Reference, Template, example_fields, parse_values

TODAY = date(2026, 3, 1)
REMINDER = ["create", "fixed-time", "{days:int}d", "--at", "{at:time=09:00}", "-e", "order-{id}", "--handler", "nudge"]


def template(*argv: str, **examples: str) -> Template:
    return Template("reminder", parse_template(argv), 1, examples).checked()


def test_finds_placeholders_with_their_types_and_defaults() -> None:
    found = template(*REMINDER)
    assert found.fields["duration"] == "{days:int}d"
    assert list(found.placeholders.values()) == [
        Placeholder("days", PlaceholderType.INT),
        Placeholder("at", PlaceholderType.TIME, "09:00"),
        Placeholder("id", PlaceholderType.STR),
    ]
    assert found.render({"days": 3, "id": "17"}) == {
        "type": "fixed-time",
        "duration": "3d",
        "at": "09:00",
        "execution": "order-17",
        "handler": ["nudge"],
    }


def test_a_type_is_said_once_and_holds_everywhere() -> None:
    found = template("fixed-time", "{days}d", "-e", "{days:int}")
    assert found.placeholders == {"days": Placeholder("days", PlaceholderType.INT)}


def test_what_stands_in_two_braces_is_no_placeholder() -> None:
    assert template("fixed-time", "3d", "-e", "{{days:int}}-{n}").render({"n": "1"})["execution"] == "{days:int}-1"


def test_a_number_in_the_context_is_a_number() -> None:
    context = '{"days": "{days:int}", "share": "{share:number}", "text": "{days} days", "in": ["{days}", {"x": "{s}"}]}'
    rendered = template("fixed-time", "1d", "--context", context).render({"days": "3", "share": "0.5", "s": '"'})
    assert rendered["context"] == {"days": 3, "share": 0.5, "text": "3 days", "in": [3, {"x": '"'}]}


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("int", ["3", "-3", "0"], ["3.5", "x", "", "٣", "1" * 19, "3 "]),
        ("number", ["3", "-3.25"], ["1e3", "nan", "", "3."]),
        ("duration", ["3d", "90m", "3bd", "1mo", "P1D"], ["3", "soon", ""]),
        ("time", ["9", "09:00", "23:59:59"], ["24:00", "9am", ""]),
        ("date", ["2026-12-24", "2026-12-24 18:00", "2026-12-24T18:00:00Z"], ["24.12.2026", "2026-02-30", ""]),
        ("zone", ["Europe/Berlin", "UTC"], ["Mars/Olympus", "+02:00", ""]),
        ("str", ["", "anything -- at all"], ["x" * 65_537]),
    ],
)
def test_values_are_checked(kind: str, good: list[str], bad: list[str]) -> None:
    found = template("fixed-time", "1d", "-e", f"{{v:{kind}}}")
    for text in good:
        assert found.values({"v": text}) == {"v": text}
    for text in bad:
        with pytest.raises(InvalidTemplateError, match=r"^v: "):
            found.values({"v": text})
    example = found.example_values(TODAY)
    assert found.values(example) == example


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ({"days": "3"}, "the template reminder@1 needs id", "--set id=STR"),
        ({}, "needs days, id", "--set days=INT --set id=STR"),
        ({"dayz": "3"}, "no placeholder 'dayz'", "did you mean days?"),
        ({"colour": "red"}, "no placeholder 'colour'", "it has days, at, id"),
        ({"days": "x", "id": "1"}, "days: 'x' is not of the type int: it is no whole number", None),
        ({"days": "3", "id": "1", "at": "25:00"}, "at: '25:00' is not of the type time", None),
    ],
)
def test_what_does_not_fit_is_named(given: dict[str, str], message: str, hint: str | None) -> None:
    with pytest.raises(InvalidTemplateError) as caught:
        template(*REMINDER).render(given)
    assert message in caught.value.message
    assert hint is None or caught.value.hint == hint


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "it says nothing"),
        (["create"], "it says nothing"),
        (["create", "sometime", "3d"], "there is no form 'sometime'"),
        (["create", "recurring", "1d"], "a word too many: '1d'"),
        (["recurring", "--evry", "1d"], "there is no option '--evry'"),
        (["fixed-time", "3d", "--att", "9"], "there is no option '--att'"),
        (["fixed-time", "3d", "4d"], "a word too many: '4d'"),
        (["fixed-time", "{days:integer}d"], "there is no type 'integer'"),
        (["fixed-time", "{days:}d"], "there is no type ''"),
        (["fixed-time", "{d:int}d", "-e", "{d:str}"], "d is a int in one place and a str in another"),
        (["fixed-time", "{d:int=3}d", "-e", "{d=4}"], "d has two defaults: '3' and '4'"),
        (["fixed-time", "{d:int=x}d"], "d: 'x' is not of the type int"),
        (["fixed-time", "3d", "--dry-run"], "there is no option '--dry-run'"),
        (["fixed-time", "3d", "-o", "json"], "there is no option '-o'"),
        (["fixed-time", "3d", "--", "rm", "-rf"], "a command behind -- cannot stand here"),
    ],
)
def test_what_is_no_template_is_refused(argv: list[str], message: str) -> None:
    with pytest.raises(InvalidTemplateError) as caught:
        template(*argv)
    assert message in caught.value.message


def test_examples_have_to_fit() -> None:
    with pytest.raises(InvalidTemplateError, match="days: 'x'"):
        template(*REMINDER, days="x")
    with pytest.raises(InvalidTemplateError, match="no placeholder 'dayz'"):
        template(*REMINDER, dayz="3")
    assert template(*REMINDER, id="17").example_values(TODAY) == {"days": "3", "at": "09:00", "id": "17"}


@pytest.mark.parametrize("text", ["", "a b", "a@", "a@0", "a@x", "@2", "../a", "a" * 101, "a@1234567890"])
def test_what_names_no_template(text: str) -> None:
    with pytest.raises(InvalidTemplateError):
        Reference.parse(text)


def test_names_and_versions() -> None:
    assert (Reference.parse("a.b-c_1"), Reference.parse("a@12")) == (Reference("a.b-c_1"), Reference("a", 12))
    assert [str(each) for each in (Reference("a"), Reference("a", 2))] == ["a", "a@2"]


def test_values_are_pairs() -> None:
    assert parse_values(["a=b=c", "d="], "--set") == {"a": "b=c", "d": ""}
    for texts, message in ((["a"], "is not NAME=VALUE"), (["=a"], "is not NAME=VALUE"), (["a=1", "a=2"], "twice")):
        with pytest.raises(InvalidTemplateError, match=message):
            parse_values(texts, "--set")


def test_what_users_give_beside_it_is_there_for_the_check() -> None:
    assert example_fields({"type": "for-event"}, TODAY)["contact"] == "ada@example.org"
    for form, text in ((None, "2026-03-31"), ("DD.MM.YYYY HH:mm", "31.03.2026 09:00")):
        fields: dict[str, Any] = {"type": "until-date", "field": "due.at", "context": {"due": {"x": 1}}}
        shown = example_fields(fields | {"field-format": form}, TODAY)
        assert shown["context"] == {"due": {"x": 1, "at": text}}


# -- nothing gets out of its argument ----------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    [
        "--replace",
        "-e x",
        "' --replace '",
        '"',
        "{days}",
        "{{id}}",
        "a b",
        "$(reboot)",
        "--",
        "",
        "\\",
        "@/etc/passwd",
        "-",
    ]
)


@given(TEXTS, TEXTS)
def test_a_value_stays_within_its_argument(one: str, other: str) -> None:
    argv = [
        "for-event",
        "{type}",
        "--match",
        "plan={one}",
        "--match",
        "x={other}",
        "-c",
        "{one}",
        "--context",
        '{"k": "{other}"}',
    ]
    rendered = template(*argv, type="t").render({"type": one, "one": one, "other": other})
    assert rendered == {
        "type": "for-event",
        "types": one,
        "match": [f"plan={one}", f"x={other}"],
        "contact": one,
        "context": {"k": other},
    }


@given(TEXTS.filter(lambda text: "\0" not in text), st.integers(-(10**9), 10**9))
def test_a_value_in_a_condition_is_a_literal(text: str, number: int) -> None:
    """Whatever it says: it ends no text, and asks nothing else."""
    where = 'event.data.plan == {text} && event.data.name == "{text}" && event.data.n > {n:int}'
    rendered = template("for-event", "sms_reply", "--where", where).render({"text": text, "n": number})["where"]
    check_condition(rendered)
    event: dict[str, Any] = {"event_type": "sms_reply", "contact_id": "ada", "at": None, "source": "x", "context": None}
    data = {"plan": text, "name": text, "n": number + 1}
    assert holds(rendered, data=data, **event)
    for key, other in (("plan", f"{text}x"), ("name", f"x{text}"), ("n", number)):
        assert not holds(rendered, data=data | {key: other}, **event)


@given(TEXTS)
def test_the_command_that_is_shown_is_the_one_that_is_meant(text: str) -> None:
    fields = template("fixed-time", "3d", "-e", "{text}", "--handler", "a", "--handler", "b", "--replace").render(
        {"text": text}
    )
    _, _, *argv = shlex.split(command_line(fields))
    assert parse_template(argv) == fields


@pytest.mark.parametrize("form", FORMS)
def test_command_lines_are_read_as_the_command_reads_them(form: str) -> None:
    """Every option, by every name that it has there."""
    group: Any = get_command(app)
    command = group.commands[form]
    argument = "x,y"
    for parameter in command.params:
        for name in (*parameter.opts, *parameter.secondary_opts):
            if name[0] != "-" or name in {"--dry-run", "--output", "-o", "--context", "--context-raw"}:
                continue
            key = max(parameter.opts, key=len).removeprefix("--")
            for words in (
                ([name],) if parameter.is_flag else ([name, "-1"], [f"{name}=a=b" if name[:2] == "--" else f"{name}1"])
            ):
                given, _, _ = command.make_parser(Context(command)).parse_args([argument, *words])
                assert parse_command_line(["create", form, argument, *words]) == {
                    "type": form,
                    ARGUMENTS[form]: argument,
                    key: given[parameter.name],
                }
