"""What the settings are and where each comes from, and everything that is wrong with a config file at once."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from waitctl.domain.durations import duration_text
from waitctl.domain.errors import UnsafeFileError, WaitStepError
from waitctl.domain.handlers import INLINE, INLINE_TIMEOUT
from waitctl.domain.instants import check_zone, parse_instant
from waitctl.domain.late import LATE_TOLERANCE
from waitctl.domain.logs import LogFormat
from waitctl.domain.values import dataclass
from waitctl.infrastructure.calendars import Calendars
from waitctl.infrastructure.config import (
    MAX_CONFIG,
    UNKNOWN_HANDLER_AFTER,
    CalendarConfig,
    TemplateConfig,
    default_database_url,
    find_config_file,
    log_format_of,
    read_url_of,
)
from waitctl.infrastructure.database_url import parse_url
from waitctl.infrastructure.file_settings import CalendarModel, FileModel, TemplateModel
from waitctl.infrastructure.file_trust import OVERRIDE, check_files, read_anybodys, read_trusted
from waitctl.infrastructure.handler_settings import HandlerModel
from waitctl.infrastructure.providers import names as provider_names
from waitctl.infrastructure.providers import provider
from waitctl.infrastructure.redaction import MASK, redact
from waitctl.infrastructure.secrets import read_secrets
from waitctl.infrastructure.sqlite_file import BESIDE
from waitctl.infrastructure.toml_lines import key_lines, nearest_line

VARIABLES = {
    "database_url": "WAITCTL_DATABASE_URL",
    "read_url": "WAITCTL_READ_URL",
    "timezone": "WAITCTL_TIMEZONE",
    "log_format": "WAITCTL_LOG_FORMAT",
}
"""The variables that stand above a key of the file."""

_URLS = frozenset({"database_url", "read_url"})

DEFAULTS = {
    "timezone": "UTC",
    "late_tolerance": LATE_TOLERANCE,
    "unknown_handler_after": UNKNOWN_HANDLER_AFTER,
    "log_format": LogFormat.HUMAN,
}
"""What holds for a key that the model leaves empty."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong: its key, the line of the file that it stands on, and an example of what is right."""

    key: str
    line: int | None
    message: str
    example: str | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What a key is, as TOML has it, and what says so: a flag, a variable, a line of the file, or nothing."""

    key: str
    value: object
    origin: str


@dataclass(frozen=True, slots=True)
class ConfigReport:
    """The config file, the settings that hold, and what is wrong."""

    file: Path | None
    settings: tuple[Setting, ...]
    problems: tuple[Problem, ...]


def report_config(
    *,
    database_url: str | None = None,
    config: str | None = None,
    environ: Mapping[str, str] | None = None,
    fault_of_template: Callable[[TemplateConfig], WaitStepError | None] = lambda _: None,
) -> ConfigReport:
    """Look at everything that settings come from. The arguments are the flags, as for `load_settings`.

    ``fault_of_template`` knows what a wait may be asked for, which is no matter of files.

    Raises `InvalidSettingError` for a config file that is named and not there, or cannot be read.
    """
    environ = os.environ if environ is None else environ
    file = find_config_file(config, environ)
    text, problems = _read(file, environ) if file else ("", [])
    document: dict[str, Any] = {}
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        at = re.search(r"at line (\d+)", str(error))
        problems.append(Problem("", int(at[1]) if at else len(text.splitlines()), f"this is not TOML: {error}"))
    lines = key_lines(text) if document else {}
    problems += _of_variables(environ)
    problems += [
        Problem(".".join(key), nearest_line(lines, key), message, example)
        for key, message, example in [
            *_of_document(document),
            *_of_this_host(document, file, environ),
            *_of_templates(document, fault_of_template),
            *_of_database(
                "database_url", database_url or environ.get(VARIABLES["database_url"]) or document.get("database_url")
            ),
            *_of_database("read_url", read_url_of(database_url, environ, document)),
        ]
    ]
    settings = tuple(_settings(document, lines, file, database_url, environ))
    return ConfigReport(file, settings, tuple(sorted(problems, key=lambda problem: problem.line or 0)))


def _read(file: Path, environ: Mapping[str, str]) -> tuple[str, list[Problem]]:
    problems = []
    try:
        content = read_trusted(file, "the config file", most=MAX_CONFIG + 1, environ=environ)
    except WaitStepError as error:
        problems.append(Problem("", None, error.message, error.hint))
        content = read_anybodys(file, MAX_CONFIG + 1)
    if len(content) > MAX_CONFIG:
        return "", [*problems, Problem("", None, f"the file is larger than {MAX_CONFIG:,} bytes")]
    try:
        return content.decode(), problems
    except UnicodeDecodeError as error:
        return "", [*problems, Problem("", None, f"the file is not UTF-8: {error.reason}")]


# -- what is wrong -----------------------------------------------------------------------------------------------------

_Found = Iterator[tuple[tuple[str, ...], str, str | None]]
"""A key, what is wrong with it, and what would be right."""


def _of_variables(environ: Mapping[str, str]) -> Iterator[Problem]:
    checks = {
        "WAITCTL_TIMEZONE": (check_zone, "Europe/Berlin"),
        "WAITCTL_LOG_FORMAT": (lambda text: log_format_of({"WAITCTL_LOG_FORMAT": text}), "json"),
        "WAITCTL_AS_OF": (lambda text: parse_instant(text, "WAITCTL_AS_OF"), "2026-03-02T09:00:00Z"),
    }
    for name, (check, example) in checks.items():
        try:
            if environ.get(name):
                check(environ[name])
        except WaitStepError as error:
            yield Problem(name, None, error.message, f"{name}={example}")


def _of_database(key: str, url: object) -> _Found:
    if not isinstance(url, str):
        return
    try:
        parsed = parse_url(url)
        if parsed.get_backend_name() == "sqlite":
            check_files(Path(parsed.database or ""), "the database", BESIDE)
    except WaitStepError as error:
        yield (key,), error.message, error.hint


def _of_document(document: dict[str, Any]) -> _Found:
    try:
        FileModel.model_validate(document)
    except ValidationError as error:
        for found in error.errors(include_url=False, include_context=False):
            yield _explained(found)
    for name, given in _tables(document, "handlers"):
        try:
            HandlerModel.model_validate(given).to_config(name, Path())
        except ValidationError:
            continue  # named above
        except ValueError as error:
            yield ("handlers", name), str(error), 'exec = ["/usr/local/bin/nudge.sh"]'
    if "allow_unsafe_files" in document:
        yield ("allow_unsafe_files",), "a file cannot vouch for itself", f"{OVERRIDE}=1 in the environment"


def _tables(document: Mapping[str, Any], kind: str) -> list[tuple[str, dict[str, Any]]]:
    tables = document.get(kind)
    return [each for each in tables.items() if isinstance(each[1], dict)] if isinstance(tables, dict) else []


def _explained(found: ErrorDetails) -> tuple[tuple[str, ...], str, str | None]:
    """One complaint of pydantic's, in words of the file."""
    key = tuple(part for part in found["loc"] if isinstance(part, str) and part != "[key]")
    fields = _fields(key[:-1])
    if found["type"] == "extra_forbidden":
        near = get_close_matches(key[-1], fields, n=1)
        message = f"unknown key{f', did you mean {near[0]}?' if near else ''}"
        return key, message, _example(near[0], fields) if near else f"known are {', '.join(fields)}"
    message = found["msg"].removeprefix("Value error, ")
    return key, f"{message[:1].lower()}{message[1:]}", _example(key[-1], fields) if key else None


def _fields(tables: tuple[str, ...]) -> dict[str, FieldInfo]:
    """The keys that may stand in a table of the file."""
    model: type[BaseModel] = FileModel
    for name in tables:
        if (below := table_model(model.model_fields.get(name))) is not None:
            model = below
    return dict(model.model_fields)


def table_model(field: FieldInfo | None) -> type[BaseModel] | None:
    """The model of ``[KEY.NAME]``, or of ``[KEY]``; ``None`` for a key that is no table."""
    kinds = (field.annotation, *get_args(field.annotation)) if field is not None else ()
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _example(name: str, fields: Mapping[str, FieldInfo]) -> str | None:
    field = fields.get(name)
    if field is None or not field.examples:
        return None
    return str(field.examples[0]) if table_model(field) else f"{name} = {field.examples[0]}"


def _of_this_host(document: dict[str, Any], file: Path | None, environ: Mapping[str, str]) -> _Found:
    """What only this host can say: programs that are not there, files that others may read or write."""
    folder = file.parent if file else Path()
    for name, given in _tables(document, "handlers"):
        argv = given.get("exec")
        for program in _several(argv)[:1] if isinstance(argv, list) else ():
            if shutil.which(program, path=environ.get("PATH", os.defpath)) is None:
                missing = "no program that can be run at" if "/" in program else "no program in PATH is called"
                yield ("handlers", name, "exec"), f"{missing} {program}", None
    secrets: list[tuple[tuple[str, ...], str]] = [
        ((kind, name, "secret_file"), each)
        for kind in ("handlers", "sources")
        for name, given in _tables(document, kind)
        for each in _several(given.get("secret_file"))
    ]
    secrets += [(("inline_key_file",), each) for each in _several(document.get("inline_key_file"))]
    for key, each in secrets:
        yield from _of_secret(key, folder / Path(each).expanduser(), environ)
    for name, given in _tables(document, "sources"):
        chosen = given.get("format")
        if isinstance(chosen, str) and chosen not in (formats := ("ndjson", *provider_names())):
            near = get_close_matches(chosen, formats, n=1)
            message = f"{chosen!a} is no format{f', did you mean {near[0]}?' if near else ''}"
            yield ("sources", name, "format"), message, "waitctl event providers names them"
        elif isinstance(chosen, str) and chosen != "ndjson":
            yield from _of_sender(name, given, chosen, folder, environ)
    yield from _of_calendars(document)


def _of_templates(document: dict[str, Any], fault_of: Callable[[TemplateConfig], WaitStepError | None]) -> _Found:
    for name, given in _tables(document, "templates"):
        try:
            configured = TemplateConfig(name, **dict(TemplateModel.model_validate(given)))
        except ValidationError:
            continue  # said already
        if fault := fault_of(configured):
            yield ("templates", name, "create"), fault.message, fault.hint


def _several(value: object) -> list[str]:
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str) and each]


def _of_secret(key: tuple[str, ...], path: Path, environ: Mapping[str, str]) -> _Found:
    try:
        read_trusted(path, "the secret", most=1, secret=True, environ=environ)
    except WaitStepError as error:
        yield key, error.message, error.hint
    except OSError as error:
        yield key, f"cannot read {path}: {error.strerror}", None


def _of_sender(name: str, given: Mapping[str, Any], format_: str, folder: Path, environ: Mapping[str, str]) -> _Found:
    """What can be no secret of this format. A variable that is not set here may be set where webhooks come in."""
    variables = [each for each in _several(given.get("secret_env")) if environ.get(each, "").strip()]
    for key, names, files in (
        *(("secret_env", [each], []) for each in variables),
        *(("secret_file", [], [folder / Path(each).expanduser()]) for each in _several(given.get("secret_file"))),
    ):
        try:
            for secret in read_secrets(names, files, "its", environ):
                provider(format_).check_secret(secret)
        except UnsafeFileError:
            continue  # named above
        except WaitStepError as error:
            yield ("sources", name, key), error.message, error.hint


def _of_calendars(document: dict[str, Any]) -> _Found:
    configured = {}
    for name, given in _tables(document, "calendars"):
        try:
            configured[name] = CalendarConfig(name, **dict(CalendarModel.model_validate(given)))
        except ValidationError:
            continue  # named above
    calendars = Calendars(configured)
    for name in configured:
        try:
            calendars.get(name)
        except WaitStepError as error:
            yield ("calendars", name, "base"), error.message.removeprefix(f"calendars.{name}.base: "), error.hint


# -- what holds --------------------------------------------------------------------------------------------------------


def _settings(
    document: dict[str, Any],
    lines: Mapping[tuple[str, ...], int],
    file: Path | None,
    database_url: str | None,
    environ: Mapping[str, str],
) -> Iterator[Setting]:
    def given(*key: str) -> str:
        return f"{file}:{nearest_line(lines, key)}"

    if environ.get("WAITCTL_AS_OF"):
        yield Setting("as_of", environ["WAITCTL_AS_OF"], "WAITCTL_AS_OF")
    for name, field in FileModel.model_fields.items():
        variable = VARIABLES.get(name)
        if name == "database_url" and database_url:
            yield Setting(name, _shown_url(database_url), "--database-url")
        elif variable and environ.get(variable):
            yield Setting(name, _shown_url(environ[variable]) if "_URL" in variable else environ[variable], variable)
        elif (table := table_model(field)) is not None:
            tables = _table_settings if field.annotation is table else _tables_settings
            yield from tables((name,), table, document, given)
        elif name in document:
            value = document[name]
            yield Setting(name, _shown_url(value) if name in _URLS else _shown(value), given(name))
        else:
            yield Setting(name, _shown(default_of(name, field)), "default")


def _tables_settings(
    path: tuple[str, ...], model: type[BaseModel], document: Mapping[str, Any], given: Any
) -> Iterator[Setting]:
    """Of ``[KEY.NAME]``, each of them a table."""
    for name, _ in _tables(document, path[-1]):
        yield from _table_settings((*path, name), model, document[path[-1]], given)


def _table_settings(
    path: tuple[str, ...], model: type[BaseModel], document: Mapping[str, Any], given: Any
) -> Iterator[Setting]:
    """Of ``[KEY]``, and of what stands below it."""
    table = document.get(path[-1])
    table = table if isinstance(table, dict) else {}
    below = {key: found for key, field in model.model_fields.items() if (found := table_model(field)) is not None}
    for key, value in table.items():
        if key in below:
            yield from _tables_settings((*path, key), below[key], table, given)
        else:
            yield Setting(".".join((*path, key)), _shown(value), given(*path, key))
    for key, field in model.model_fields.items():
        default = INLINE_TIMEOUT if (path[-1], key) == (INLINE, "timeout") else field.get_default()
        if key not in table and default and not isinstance(default, bool):
            yield Setting(".".join((*path, key)), _shown(default), "default")


def default_of(name: str, field: FieldInfo) -> object:
    """What holds for a key of the file's top that nothing says anything of."""
    if name == "database_url":
        return default_database_url()
    return DEFAULTS.get(name, field.get_default())


def _shown_url(text: object) -> object:
    """A database's URL without its secrets, which cannot be told from the rest of one that cannot be read."""
    try:
        parse_url(str(text))
    except WaitStepError:
        return MASK
    return redact(str(text))


def _shown(value: Any) -> object:
    """A value as the file would have it, without a secret that stands in a URL."""
    match value:
        case str():
            return redact(value)
        case timedelta():
            return duration_text(value)
        case dict():
            return {str(key): _shown(each) for key, each in value.items()}
        case list() | tuple():
            return [_shown(each) for each in value]
        case None | bool() | int() | float():
            return value
        case _:
            return str(value)
