"""Templates: saved, listed, shown and used. They stand in the database, or in the config file of a host.

Where both have one of a name, the config file's is meant, as its calendars are before those of the library; a version
that is named is always the database's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from waitctl.application.operations.template_edits import NO_EDITS, Edits, TemplateEdits, requested, spec_of
from waitctl.application.waits.command_lines import parse_command_line
from waitctl.application.waits.forms import RECURRING, Options, how_of, read_recurrence, rules_of
from waitctl.application.waits.recurring import RecurrenceResult, RecurrenceService
from waitctl.application.waits.results import WaitCreateResult
from waitctl.application.waits.scheduling import WaitSchedulingService
from waitctl.domain.errors import (
    DatabaseError,
    InvalidTemplateError,
    InvalidWaitConfigurationError,
    TemplateNotFoundError,
    TemplateVersionError,
    WaitStepError,
)
from waitctl.domain.recurrence import RecurrenceRule
from waitctl.domain.templates import LateBinding, Reference, Template, example_fields, refused_example
from waitctl.domain.text import JsonObject, parse_json_object
from waitctl.domain.values import dataclass, replace
from waitctl.infrastructure.config import Settings, TemplateConfig
from waitctl.infrastructure.database import Connection, Database, host_clock
from waitctl.infrastructure.store import templates as store


@dataclass(frozen=True, slots=True)
class Saved:
    """A template as it was saved; ``created`` is False when the newest version said the same already."""

    template: Template
    created: bool
    edits: Edits = NO_EDITS
    shadowed: bool = False
    """Whether the config file has one of this name, which goes before it."""


@dataclass(frozen=True, slots=True)
class Example:
    """What a template would create with example values; or why it would not."""

    values: Mapping[str, str]
    fields: JsonObject
    result: WaitCreateResult | RecurrenceResult | None = None
    error: WaitStepError | None = None

    @property
    def explanation(self) -> Sequence[str]:
        """Why it would come to that."""
        return self.result.explanation if self.result else ()


class TemplateService:
    """Keeps templates, and creates waits by them."""

    def __init__(self, database: Database | str, *, actor: str = "api", settings: Settings | None = None) -> None:
        self._database = Database(database) if isinstance(database, str) else database
        self._timezone = settings.timezone if settings else "UTC"
        self._actor = actor
        self._of_config: Mapping[str, TemplateConfig] = settings.templates if settings else {}
        self._waits = WaitSchedulingService(self._database, actor=actor, settings=settings)
        self._recurrences = RecurrenceService(self._database, actor=actor, settings=settings)
        self._edits = TemplateEdits(self._database, actor=actor, settings=settings)

    # -- keep -----------------------------------------------------------------------------------------------------

    def save(self, reference: str, asked: Sequence[str] | JsonObject, examples: Mapping[str, str] = {}) -> Saved:
        """Save the next version of a template: a command line of `create`, or its options by their long names.

        What the newest version says already makes no other. Open waits that are late-bound to it follow at once. Raises
        `InvalidTemplateError` for what can never work, and `TemplateVersionError` for a version that was there.
        """
        named = Reference.parse(reference)
        fields = dict(asked) if isinstance(asked, Mapping) else parse_template(asked)
        template = Template(named.name, fields, None, dict(examples)).checked()
        example = self.example(template)
        if example.error is not None:
            raise refused_example(template, example.values, example.error) from example.error

        def work(connection: Connection) -> Saved:
            there = store.get_template(connection, named)
            if there is not None and _says_the_same(there, template):
                return Saved(there, created=False)
            last = store.last_version(connection, named.name)
            version = named.version or last + 1
            if version <= last:
                raise TemplateVersionError(
                    f"{named.name} has had version {version}", hint=f"the next one is {named.name}@{last + 1}"
                )
            now = self._database.clock(connection)
            saved = replace(template, version=version, saved_at=now, actor=self._actor)
            if not store.insert_template(connection, saved, now=now, actor=self._actor):
                raise TemplateVersionError(f"{saved.reference} was saved at this moment", hint="run it again")
            return Saved(saved, created=True)

        saved = self._database.write(work)
        edits = self._edits.apply(saved.template)
        return replace(saved, edits=edits, shadowed=named.name in self._of_config)

    def remove(self, reference: str) -> list[int]:
        """Remove a version, or a template with all of them; returns which. Waits stay as they are.

        Raises `TemplateNotFoundError`.
        """
        named = Reference.parse(reference)

        def work(connection: Connection) -> list[int]:
            return store.remove_templates(connection, named, now=self._database.clock(connection))

        removed = self._database.write(work)
        if not removed:
            raise self._not_found(named)
        return removed

    # -- look -----------------------------------------------------------------------------------------------------

    def list_templates(self) -> list[Template]:
        """The templates of the config file and the newest versions of those of the database, by name.

        One of the database that the config file goes before is there, too.
        """
        found = [self._read_config(name) for name in self._of_config]
        if self._database.path is None or self._database.path.exists() or not found:
            with self._database.read() as connection:
                found += store.list_newest(connection)
        return sorted(found, key=lambda each: (each.name, each.version is not None))

    def get(self, reference: str) -> Template:
        """The template of this name, or a version of it. Raises `TemplateNotFoundError`."""
        named = Reference.parse(reference)
        if named.version is None and named.name in self._of_config:
            return self._read_config(named.name)
        with self._database.read() as connection:
            found = store.get_template(connection, named)
        if found is None:
            raise self._not_found(named)
        return found

    def versions(self, name: str) -> list[Template]:
        """The versions of the database's template of this name, newest first."""
        if self._database.path is not None and not self._database.path.exists():
            return []
        with self._database.read() as connection:
            return store.list_versions(connection, name)

    def example(self, template: Template, values: Mapping[str, object] | None = None) -> Example:
        """What it would create now: with ``values``, and examples for what they leave out.

        Raises `InvalidTemplateError` for values that do not fit.
        """
        today = self._today()
        given = template.example_values(today) | {name: str(value) for name, value in (values or {}).items()}
        fields = template.render(given)
        try:
            if recurs(template):
                return Example(given, fields, self._recur(example_fields(fields, today), dry_run=True))
            request = requested(example_fields(fields, today), self._timezone)
            return Example(given, fields, self._waits.create_wait(request, dry_run=True))
        except DatabaseError:
            raise
        except WaitStepError as error:
            return Example(given, fields, error=error)

    def _today(self) -> date:
        return (self._database.as_of or host_clock()).date()

    def _read_config(self, name: str) -> Template:
        try:
            return _configured(self._of_config[name])
        except InvalidTemplateError as error:
            raise InvalidTemplateError(f"templates.{name}: {error.message}", hint=error.hint) from error

    def _not_found(self, named: Reference) -> TemplateNotFoundError:
        from difflib import get_close_matches  # only on the way out

        names = {each.name for each in self.list_templates()}
        if named.name in names:
            return TemplateNotFoundError(f"the database has no template {named}")
        near = get_close_matches(named.name, names, 1)
        hint = f"did you mean {near[0]}?" if near else "waitctl template list shows them"
        return TemplateNotFoundError(f"there is no template {str(named)!a}", hint=hint)

    # -- use ------------------------------------------------------------------------------------------------------

    def create_wait(
        self,
        reference: str,
        values: Mapping[str, object] = {},
        *,
        given: JsonObject | None = None,
        late_bound: bool = False,
        traceparent: str | None = None,
        dry_run: bool = False,
    ) -> WaitCreateResult:
        """Create the wait that a template asks for with these values; ``given`` goes before what it says.

        A ``late_bound`` one remembers template and values: what is saved later moves it while it is open. Raises
        `TemplateNotFoundError`, `InvalidTemplateError`, and what `WaitSchedulingService.create_wait` raises.
        """
        template = self.get(reference)
        if recurs(template):
            raise InvalidTemplateError(f"{template.reference} is of a wait that comes again, and not of one")
        fields = template.render(values)
        binding = self._binding(reference, template, values, given or {}) if late_bound else None
        request = requested(
            {**fields, **(given or {})},
            self._timezone,
            binding=binding.to_config() if binding else None,
            traceparent=traceparent,
        )
        result = self._waits.create_wait(request, dry_run=dry_run)
        if binding is not None and not dry_run:
            return self._followed(template, result)
        return result

    def create_recurrence(
        self,
        reference: str,
        values: Mapping[str, object] = {},
        *,
        given: JsonObject | None = None,
        dry_run: bool = False,
    ) -> RecurrenceResult:
        """Create the wait that comes again for which a template asks; ``given`` goes before what it says.

        It keeps its rule, whatever is saved later. Raises `TemplateNotFoundError`, `InvalidTemplateError`, and what
        `RecurrenceService.create` raises.
        """
        template = self.get(reference)
        if not recurs(template):
            raise InvalidTemplateError(f"{template.reference} is of a single wait, and of none that comes again")
        return self._recur({**template.render(values), **(given or {})}, dry_run=dry_run)

    def _recur(self, fields: JsonObject, *, dry_run: bool) -> RecurrenceResult:
        options, rule = _recurrence(fields)
        return self._recurrences.create(
            rule,
            spec_of(options, self._timezone),
            rules=rules_of(options),
            stop_on=options.get("stop-on"),
            dry_run=dry_run,
            **how_of(options),
        )

    def _binding(
        self, reference: str, template: Template, values: Mapping[str, object], given: JsonObject
    ) -> LateBinding:
        if template.version is None:
            raise InvalidTemplateError(
                f"{template.name} is of this host's config, and no host's edits can move the waits of all",
                hint="waitctl template save keeps one in the database",
            )
        if Reference.parse(reference).version is not None:
            raise InvalidTemplateError(f"{reference} is one version: what is late-bound follows the newest")
        return LateBinding(template.name, template.version, {name: str(each) for name, each in values.items()}, given)

    def _followed(self, template: Template, result: WaitCreateResult) -> WaitCreateResult:
        """The wait as it is, when the template was edited while it was created: whoever saved it did not see it."""
        newest = self.get(template.name)
        if newest.version == template.version or not result.created:
            return result
        self._edits.apply(newest)
        return replace(result, wait=self._waits.get_wait_status(result.wait.id).wait)


def parse_template(argv: Sequence[str]) -> JsonObject:
    """What a command line of `create` asks for. Its arguments are told apart before anything is put into them.

    Raises `InvalidTemplateError`.
    """
    try:
        fields = parse_command_line(argv)
        context = fields.get("context")
        return fields if context is None else fields | {"context": parse_json_object(context, "the context")}
    except InvalidWaitConfigurationError as error:
        raise InvalidTemplateError(error.message, hint=error.hint) from error


def _configured(found: TemplateConfig) -> Template:
    return Template(found.name, parse_template(found.create), None, found.examples).checked()


def _recurrence(fields: JsonObject) -> tuple[Options, RecurrenceRule]:
    options = read_recurrence(fields)
    names = ("every", "cron", "rrule", "at", "on", "fixed", "until", "count")
    return options, RecurrenceRule.parse(**{name: options[name] for name in names if name in options})


def fault_of(configured: TemplateConfig) -> WaitStepError | None:
    """Why a template of a config file can never create a wait, as far as that can be told without a database."""
    today = host_clock().date()
    try:
        template = _configured(configured)
        values = template.example_values(today)
        fields = example_fields(template.render(values), today)
        _recurrence(fields) if recurs(template) else requested(fields, "UTC")
    except WaitStepError as error:
        return error
    return None


def recurs(template: Template) -> bool:
    """Whether it asks for a wait that comes again."""
    return template.fields.get("type") == RECURRING


def _says_the_same(one: Template, other: Template) -> bool:
    return (one.fields, one.examples) == (other.fields, other.examples)
