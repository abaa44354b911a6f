"""What of the docs is made from the program: commands, configuration, man page, the topics in the pages.

`python -m tests.golden_docs` writes it anew (`make docs-reference`); a test compares.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from typer.core import TyperGroup, TyperOption

import waitctl
from waitctl.cli.app import COMMANDS, app, load
from waitctl.cli.helping import TOPICS, read_topic
from waitctl.domain.durations import format_timedelta
from waitctl.domain.handlers import INLINE_TIMEOUT
from waitctl.infrastructure.config_report import DEFAULTS, table_model
from waitctl.infrastructure.file_settings import FileModel

ROOT = Path(__file__).parent.parent
CONFIG_TOPIC = "waitctl/cli/topics/config.md"
BY_HAND = "Made by `make docs-reference`: change the program, not this page."


# -- commands ----------------------------------------------------------------------------------------------------------


def leaves() -> Iterator[tuple[str, Any]]:
    """Every command that does something, by what is typed for it."""

    def below(path: str, command: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(command, TyperGroup):
            for name, child in command.commands.items():
                yield from below(f"{path} {name}", child)
        elif not command.hidden:
            yield path, command

    for name in COMMANDS:
        yield from below(f"waitctl {name}", load(name))


def help_and_examples(command: Any) -> tuple[str, list[str]]:
    """A command's words, and the examples at their end."""
    words, _, examples = re.sub(r"\s*\bExamples?:\s*", "\0", inspect.cleandoc(command.help or ""), count=1).partition(
        "\0"
    )
    return words.replace("\b\n", "").strip(), _unfolded(examples.replace("\b\n", ""))


def _unfolded(examples: str) -> list[str]:
    """Each example on one line, as it is typed: the help breaks lines where it likes."""
    found: list[str] = []
    for line in filter(None, map(str.strip, examples.splitlines())):
        if found and not line.startswith(("waitctl ", "$ ")) and "| waitctl" not in line:
            found[-1] += f" {line}"
        else:
            found.append(line)
    return found


def usage(path: str, command: Any) -> str:
    """How a command is called."""
    arguments = [_argument(each) for each in command.params if not isinstance(each, TyperOption)]
    return " ".join([path, *arguments, "[OPTIONS]"])


def _argument(parameter: Any) -> str:
    shown = parameter.metavar or parameter.name.upper()
    return shown if parameter.required or shown.startswith("[") else f"[{shown}]"


def options(command: Any) -> Iterator[tuple[str, str]]:
    """Each argument and option as it is written, with what it means."""
    for parameter in command.params:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        if isinstance(parameter, TyperOption):
            value = "" if parameter.is_flag or parameter.count else f" {_value(parameter)}"
            shown = ", ".join([*parameter.opts, *parameter.secondary_opts]) + value
        else:
            shown = _argument(parameter)
        default = parameter.default.value if isinstance(parameter.default, Enum) else parameter.default
        meant = "" if default in (None, False, "", 0) or callable(default) else f" Default `{default}`."
        yield shown, f"{parameter.help or ''}{meant}"


def _value(parameter: Any) -> str:
    annotation = parameter.type_descriptor.annotation
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, Enum):
            return "|".join(str(each.value) for each in kind)
    return parameter.metavar or getattr(annotation, "__name__", "value").upper()


def global_options() -> Any:
    import typer

    return typer.main.get_command(app)


def commands_page() -> str:
    parts = [f"# Commands\n\n{BY_HAND}\n\n## Options of every command\n\n    waitctl [OPTIONS] COMMAND …"]
    parts.append(_bullets(options(global_options())))
    for path, command in leaves():
        words, examples = help_and_examples(command)
        parts += [f"## {path}", words, f"    {usage(path, command)}", _bullets(options(command))]
        if examples:
            parts.append("\n".join(["```sh", *examples, "```"]))
    return "\n\n".join(filter(None, parts)) + "\n"


def _bullets(entries: Iterator[tuple[str, str]]) -> str:
    return "\n".join(f"* `{name}`: {text}" if text else f"* `{name}`" for name, text in entries)


# -- configuration -----------------------------------------------------------------------------------------------------


def config_topic() -> str:
    """The keys of the config file, as its model has them."""
    parts = [
        "# config: the config file",
        (
            "TOML, in `waitctl/config.toml` of the user's config folder (`~/.config` on Linux), or named by `--config` or\n"
            "`WAITCTL_CONFIG`. `waitctl init` makes one, `waitctl config show --origin` says what holds and why, and\n"
            "`waitctl config check` everything that is wrong. An unknown key or a wrong type is an error that names it. The file\n"
            "must be its owner's alone to write."
        ),
        _keys(FileModel.model_fields, DEFAULTS),
    ]
    for name, field in FileModel.model_fields.items():
        if (model := table_model(field)) is not None:
            is_one = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
            parts += [f"## [{name}]" if is_one else f"## [{name}.NAME]", f"{field.description}"]
            parts.append(_keys(model.model_fields, {}))
            for below, each in model.model_fields.items() if is_one else ():
                if (kind := table_model(each)) is not None:
                    parts += [f"## [{name}.{below}.NAME]", f"{each.description}", _keys(kind.model_fields, {})]
            if name == "handlers":
                span = format_timedelta(INLINE_TIMEOUT)
                parts.append(
                    f"`[handlers.--]` has nothing to run: it is about commands behind `--`, whose timeout is {span}."
                )
    return "\n\n".join(parts) + "\n"


def _keys(fields: Mapping[str, Any], defaults: Mapping[str, object]) -> str:
    lines = []
    for name, field in fields.items():
        if table_model(field) is None:
            assert field.description and field.examples, f"what does {name} mean? Say so by says() in its model"
            default = None if field.is_required() else defaults.get(name, field.get_default())
            shown = format_timedelta(default) if isinstance(default, timedelta) else str(default)
            shown = shown.lower() if isinstance(default, bool) else shown
            meant = "" if default is None or default in ((), [], {}, frozenset(), "") else f" Default: {shown}."
            lines.append(f"* `{name} = {field.examples[0]}`: {field.description}{meant}")
    return "\n".join(lines)


def configuration_page() -> str:
    topic = config_topic().partition("\n")[2]
    return f"# Configuration\n\n{BY_HAND}\n{topic}"


# -- topics in pages ---------------------------------------------------------------------------------------------------


def with_topics(page: str) -> str:
    """The page with the topics that it takes in: between ``<!-- topic: NAME -->`` and ``<!-- end of topic -->``."""

    def fill(found: re.Match[str]) -> str:
        text = read_topic(found[1]).partition("\n")[2].strip()
        return f"<!-- topic: {found[1]} -->\n\n{text}\n\n<!-- end of topic -->"

    return re.sub(r"<!-- topic: ([\w-]+) -->.*?<!-- end of topic -->", fill, page, flags=re.DOTALL)


def with_examples(page: str) -> str:
    """The page with the scripts that it shows."""

    def fill(found: re.Match[str]) -> str:
        text = (ROOT / "examples" / found[1]).read_text(encoding="utf-8").strip()
        return f"<!-- example: {found[1]} -->\n\n```sh\n{text}\n```\n\n<!-- end of example -->"

    return re.sub(r"<!-- example: (\S+) -->.*?<!-- end of example -->", fill, page, flags=re.DOTALL)


# -- man page ----------------------------------------------------------------------------------------------------------


def man_page() -> str:
    version = waitctl.__version__
    parts = [
        '.\\" Made by `make docs-reference`.',
        f'.TH WAITCTL 1 "" "waitctl {version}" "User Commands"',
        ".SH NAME\nwaitctl \\- durable waits for shell scripts and cron jobs",
        ".SH SYNOPSIS\n.B waitctl\n[OPTIONS] COMMAND \\&...",
        ".SH DESCRIPTION",
        roff(
            "A wait is kept in a database until an instant has come, or an event; then a command of yours runs. Waits outlive\n"
            "reboots, nothing fires early, and an outcome is decided once. `waitctl tick`, run every minute by cron or systemd,\n"
            "processes what is due; `waitctl init --cron` sets that up.\n\n"
            "Every option here is also said by `waitctl COMMAND --help`."
        ),
        ".SH OPTIONS",
        _man_options(options(global_options())),
        ".SH COMMANDS",
    ]
    for path, command in leaves():
        words, examples = help_and_examples(command)
        parts += [f".SS {_escaped(usage(path, command))}", roff(words), _man_options(options(command))]
        if examples:
            parts.append("\n".join([".PP\n.nf\n.RS", *map(_escaped, examples), ".RE\n.fi"]))
    for topic in TOPICS:
        title, _, text = (config_topic() if topic == "config" else read_topic(topic)).partition("\n")
        parts += [f".SH {_escaped(title.partition(':')[0].removeprefix('# ').upper())}", roff(text)]
    return "\n".join(filter(None, parts)) + "\n"


def _man_options(entries: Iterator[tuple[str, str]]) -> str:
    return "\n".join(f".TP\n.B {_escaped(name)}\n{_inline(text) or chr(92) + '&'}" for name, text in entries)


def roff(markdown: str) -> str:
    """Paragraphs, bullets, tables and headings: what the topics have of Markdown."""
    done = []
    for block in re.split(r"\n{2,}|\n(?=\* )", markdown.strip()):
        text = " ".join(line.strip() for line in block.splitlines())
        if block.startswith("## "):
            done.append(f".SS {_escaped(text[3:])}")
        elif found := re.match(r"\* (`[^`]+`(?:, `[^`]+`)*|\*\*[^*]+\*\*):? ?", text):
            done.append(
                f".TP\n.B {_escaped(re.sub('[`*]', '', found[1]))}\n{_inline(text[found.end() :]) or chr(92) + '&'}"
            )
        elif block.startswith("* "):
            done.append(f".IP \\(bu 2\n{_inline(text[2:])}")
        elif block.startswith("|"):
            done += _rows(block)
        else:
            done.append(f".PP\n{_inline(text)}")
    return "\n".join(done)


def _rows(table: str) -> list[str]:
    """A table as a list: a row by what stands in its first column, and behind it the others, named where there are more."""
    (_, *names), _, *rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
    done = []
    for key, *cells in rows:
        said = cells if len(cells) == 1 else [f"{name}: {cell}" for name, cell in zip(names, cells, strict=True)]
        meant = "\n.br\n".join(_inline(each) for each in said)
        done.append(f".TP\n.B {_escaped(key.strip('`'))}\n{meant}")
    return done


def _inline(text: str) -> str:
    """A line of running text: code and what is strong are bold."""
    pieces = re.split(r"(`[^`]+`|\*\*[^*]+\*\*)", text)
    return "".join(
        f"\\fB{_escaped(each.strip('`*'))}\\fR" if each[:1] in {"`", "*"} and len(each) > 2 else _escaped(each)
        for each in pieces
    )


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "\\&...").replace("→", "\\->")
    return re.sub(r"^([.'])", r"\\&\1", text)


# -- files -------------------------------------------------------------------------------------------------------------


def files() -> Iterator[tuple[str, str]]:
    """Path and text of everything that is made."""
    yield CONFIG_TOPIC, config_topic()
    yield "docs/configuration.md", configuration_page()
    yield "docs/commands.md", commands_page()
    yield "man/waitctl.1", man_page()
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if "<!-- topic: " in text or "<!-- example: " in text:
            yield f"docs/{page.name}", with_examples(with_topics(text))


def main() -> None:
    """Write everything anew."""
    for name, text in files():
        (ROOT / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main()
