"""The options that say which waits are meant, the same for every command that takes them."""

from typing import Annotated

import typer

from waitctl.cli.option_sets import OptionSet, takes
from waitctl.domain.errors import InvalidInputError
from waitctl.domain.filters import WaitFilter, When, parse_wait_type, parse_when
from waitctl.domain.statuses import WaitExecutionStatus, WaitType


def _wait_type(text: str) -> WaitType:
    try:
        return parse_wait_type(text)
    except InvalidInputError as error:
        names = ", ".join(f"'{kind.replace('_', '-')}'" for kind in WaitType)
        raise typer.BadParameter(f"{text!r} is not one of {names}") from error


_PANEL = "Which waits"


class Filters(OptionSet):
    """FILTERS: a wait is meant when everything given holds for it."""

    status: Annotated[
        list[WaitExecutionStatus] | None,
        typer.Option("--status", help="In this status (repeatable).", rich_help_panel=_PANEL),
    ] = None
    kind: Annotated[
        list[WaitType] | None,
        typer.Option(
            "--type",
            parser=_wait_type,
            metavar="fixed-time|until-date|until-time|for-event",
            help="Of this type (repeatable).",
            rich_help_panel=_PANEL,
        ),
    ] = None
    workflow: Annotated[
        str | None, typer.Option("-w", "--workflow", metavar="ID", help="Of this workflow.", rich_help_panel=_PANEL)
    ] = None
    execution: Annotated[
        str | None, typer.Option("-e", "--execution", metavar="ID", help="Of this execution.", rich_help_panel=_PANEL)
    ] = None
    step: Annotated[
        str | None, typer.Option("-s", "--step", metavar="ID", help="Of this step.", rich_help_panel=_PANEL)
    ] = None
    contact: Annotated[
        str | None, typer.Option("-c", "--contact", metavar="ID", help="About this contact.", rich_help_panel=_PANEL)
    ] = None
    handler: Annotated[
        str | None,
        typer.Option("--handler", metavar="NAME", help="With this handler, for any outcome.", rich_help_panel=_PANEL),
    ] = None
    due_before: Annotated[
        str | None,
        typer.Option(
            "--due-before",
            metavar="T",
            help="Open, ending before this: an instant, 2h from now, or -2h ago.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    due_after: Annotated[
        str | None,
        typer.Option("--due-after", metavar="T", help="Open, ending then or later.", rich_help_panel=_PANEL),
    ] = None
    created_before: Annotated[
        str | None, typer.Option("--created-before", metavar="T", help="Created before this.", rich_help_panel=_PANEL)
    ] = None
    created_after: Annotated[
        str | None, typer.Option("--created-after", metavar="T", help="Created then or later.", rich_help_panel=_PANEL)
    ] = None
    overdue: Annotated[
        bool, typer.Option("--overdue", help="Open, and a tick would end it now.", rich_help_panel=_PANEL)
    ] = False

    @property
    def wanted(self) -> WaitFilter:
        """The filter. Raises `InvalidWaitConfigurationError` or `InvalidWaitDateError` for what cannot be read."""
        return WaitFilter(
            statuses=tuple(self.status or ()),
            wait_types=tuple(self.kind or ()),
            workflow_id=self.workflow,
            execution_id=self.execution,
            step_id=self.step,
            contact_id=self.contact,
            handler=self.handler,
            due_before=_when(self.due_before, "--due-before"),
            due_after=_when(self.due_after, "--due-after"),
            created_before=_when(self.created_before, "--created-before"),
            created_after=_when(self.created_after, "--created-after"),
            overdue=self.overdue,
        ).checked()


def _when(text: str | None, option: str) -> When | None:
    return None if text is None else parse_when(text, option)


takes_filters = takes("filters", Filters)
"""Give a command FILTERS as one argument, ``filters``."""

AllOption = Annotated[bool, typer.Option("--all", help="Every open wait, where no filter is given.")]


def require_some(wanted: WaitFilter, *, everything: bool) -> None:
    """For a command that changes waits: refuse a filter that means all of them, unless ``--all`` says so.

    Raises Typer's ``BadParameter``.
    """
    if wanted.is_empty and not everything:
        raise typer.BadParameter(
            "name the waits, or which: a filter, or --all for every open one", param_hint="FILTERS"
        )
    if not wanted.is_empty and everything:
        raise typer.BadParameter("--all means every open wait: it goes with no filter", param_hint="--all")
