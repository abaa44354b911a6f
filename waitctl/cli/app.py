"""The Typer app: global options, commands that load when they are called, errors as exit codes."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Sequence
from copy import copy
from importlib import import_module
from inspect import get_annotations
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from waitctl.cli.output import ExitCode, Interrupted, be_quiet, prepare_streams, print_error
from waitctl.cli.plain_values import take_plain_values
from waitctl.cli.session import Session
from waitctl.domain.errors import WaitStepError

# Name: module, help. A test holds the help equal to the command's own first line.
COMMANDS = {
    "create": ("create", "Create a wait."),
    "status": ("waits", "Show a wait, or the waits of an execution."),
    "list": ("selection", "List waits, newest first."),
    "pending": ("waits", "Count what is open."),
    "upcoming": ("upcoming", "Show when waits will fire or time out, as a histogram."),
    "history": ("waits", "Show a wait's audit trail."),
    "cancel": ("selection", "Cancel waits: those named, or the open ones that a filter means."),
    "resume": ("selection", "Resume a wait by hand, or the open ones that a filter means."),
    "await": ("awaiting", "Block until waits have ended."),
    "explain": ("rescheduling", "Say why a wait ends when it does."),
    "reschedule": ("rescheduling", "Give open waits another instant or window."),
    "update": ("rescheduling", "Give open waits another context."),
    "replan": ("rescheduling", "Compute open waits anew after a change of zone rules or holidays."),
    "bulk": ("bulk", "Change many waits at once: plan, apply, undo."),
    "why": ("why", "Say what a wait is still waiting for, and which events nearly ended it."),
    "event": ("events", "Record events and look at them."),
    "tick": ("tick", "Process what is due, once."),
    "serve": ("serve", "Serve webhooks, the API and the dashboard over HTTP."),
    "ticks": ("ticks", "List the runs of the processor, newest first."),
    "doctor": ("health", "Look for what is wrong, and say what to do about it."),
    "check": ("health", "Say in one line whether waits are served, as a Nagios plugin does."),
    "top": ("top", "Watch what goes on, live."),
    "metrics": ("metrics", "Print metrics for Prometheus."),
    "analytics": ("analytics", "Say what became of waits: outcomes, how long, how late, how many attempts."),
    "prune": ("pruning", "Delete what ended long ago; totals, keys and ids are kept."),
    "export": ("moving", "Write all there is, or some waits and what belongs to them, to a file that import reads."),
    "import": ("moving", "Read what export has written into an empty database: all of it, or nothing."),
    "simulate": ("simulating", "Show what would end, in order, by playing a copy of the database through."),
    "pause": ("pausing", "Hold deliveries back; events and deadlines go on."),
    "unpause": ("pausing", "Let held deliveries go."),
    "delivery": ("deliveries", "Look at deliveries, and put dead ones right."),
    "recurring": ("recurring", "Look at waits that come again; pause and stop them."),
    "template": ("templates", "Save waits under a name, and create them by it."),
    "contact": ("contacts", "Keep the zones of contacts, and forget them."),
    "calendar": ("calendars", "Look at calendars: business days, holidays, hours."),
    "db": ("database", "Migrate the database and look at its schema."),
    "init": ("init", "Make a config file, and let cron or systemd tick with it."),
    "config": ("config", "Show the settings that hold, and check the config file."),
    "help": ("helping", "Explain a topic, or a command."),
}
GROUPS = frozenset(
    {"bulk", "contact", "create", "event", "delivery", "calendar", "db", "config", "recurring", "template"}
)

APART = {("event", "record"): "event_record"}
"""Commands of groups that scripts start again and again: the module of each, which loads nothing else of its group."""


# What the first help shows together, in this order. A command that is in none stands under "Operating".
PANELS = {
    "Waits": (
        *("create", "status", "list", "cancel", "resume", "await", "history", "why", "explain", "reschedule", "replan"),
        *("update", "upcoming", "recurring", "bulk", "template"),
    ),
    "Events": ("event",),
    "Processing": ("tick", "delivery", "pause", "unpause"),
    "Operating": (
        *(
            "pending",
            "ticks",
            "doctor",
            "check",
            "metrics",
            "top",
            "analytics",
            "prune",
            "export",
            "import",
            "simulate",
        ),
    ),
    "Setting up": ("init", "config", "db", "calendar", "contact", "help"),
}
_PANEL_OF = {name: title for title, names in PANELS.items() for name in names}
_IN_ORDER = {name: place for place, name in enumerate(_PANEL_OF)}

EPILOG = """
\b
Example:
  waitctl create fixed-time 3d --execution order-17 --handler nudge
  waitctl tick

\b
Exit codes:
  0 ok, 1 failure, 2 usage or invalid input, 3 not found, 4 conflict,
  5 database, 6 timed out, 7 ended otherwise, 130 interrupted
"""


class LazyGroup(TyperGroup):
    """A group that imports a command's module when the command is called, and only lists it for ``--help``."""

    def __init__(self, **settings: Any) -> None:
        settings["commands"] = {
            name: TyperCommand(name, help=text, rich_help_panel=_panel(name)) for name, (_, text) in COMMANDS.items()
        }
        super().__init__(**settings)

    def list_commands(self, _: Any) -> list[str]:
        """The names in the order of their panels."""
        titles = list(PANELS)
        return sorted(COMMANDS, key=lambda name: (titles.index(_panel(name)), _IN_ORDER.get(name, len(_IN_ORDER))))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find a command as usual, then load it."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name, rest) if name in COMMANDS else command, rest


def _panel(name: str) -> str:
    return _PANEL_OF.get(name, "Operating")


def load(name: str, rest: Sequence[str] = ()) -> Any:
    """Import the command ``name``; of a group, when ``rest`` begins with one of its commands, no other is made."""
    module = APART.get((name, rest[0])) if rest else None
    app = import_module(f"waitctl.cli.{module or COMMANDS[name][0]}").app
    is_group = name in GROUPS
    make = typer.main.get_group if is_group else typer.main.get_command
    loaded = take_plain_values(make(_only(app, (*rest, None)[0] if is_group else name)))
    _complete(loaded, _quiet_option())
    if "_WAITCTL_COMPLETE" in os.environ:
        from waitctl.cli.completing import offer

        offer(loaded, name if name in GROUPS else None)
    return loaded


def _only(app: typer.Typer, name: str | None) -> typer.Typer:
    """The app with the command of this name alone, if it has one: to make a command takes longer than to run it."""
    alone = copy(app)
    alone.registered_commands, alone.registered_groups = [], []
    for info in app.registered_commands:
        if info.name == name and info.callback is not None:
            # Typer would evaluate them time and again.
            info.callback.__annotations__ = get_annotations(info.callback, eval_str=True)
            alone.registered_commands.append(info)
    if not alone.registered_commands:
        return app
    return alone


def _quiet_option() -> Any:
    """The option that every command has."""
    lonely = typer.Typer(add_completion=False)

    @lonely.command()
    def command(
        quiet: Annotated[
            bool, typer.Option("-q", "--quiet", callback=_be_quiet, help="Print only data and errors.")
        ] = False,
    ) -> None:
        pass

    [option] = typer.main.get_command(lonely).params
    option.expose_value = False
    return option


def _be_quiet(wanted: bool) -> None:
    if wanted:
        be_quiet(True)


def _complete(command: Any, option: Any) -> None:
    """Give the option to a command and to all below it that have none of their own; set their examples apart."""
    format_help = command.format_help

    def format_with_example_apart(context: Any, formatter: Any) -> None:
        command.help = _with_example_apart(command.help)
        format_help(context, formatter)

    command.format_help = format_with_example_apart
    runs = not isinstance(command, TyperGroup) or command.invoke_without_command
    if runs and not any("-q" in each.opts for each in command.params):
        command.params.append(option)
    for child in getattr(command, "commands", {}).values():
        _complete(child, option)


def _with_example_apart(text: str | None) -> str | None:
    """The help with its example as a block: ``Example: …`` ends what a command says of itself.

    Where its lines break is left to the terminal, which may be narrower than the code.
    """
    words, found, example = (text or "").rpartition("Example: ")
    if not found:
        return text
    paragraphs = "\n\n".join(" ".join(each.split()) for each in re.split(r"\n\s*\n", words.strip()))
    return f"{paragraphs}\n\n\b\nExample:\n  {' '.join(example.split())}"


app = typer.Typer(
    name="waitctl",
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)


def _version(wanted: bool) -> None:
    if wanted:
        from waitctl import __version__

        typer.echo(f"waitctl {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    database_url: Annotated[
        str | None, typer.Option("--database-url", metavar="URL", help="sqlite:///FILE or postgresql://…")
    ] = None,
    config: Annotated[str | None, typer.Option("--config", metavar="FILE", help="The config file (TOML).")] = None,
    verbose: Annotated[
        int, typer.Option("-v", "--verbose", count=True, help="Say more; twice: tracebacks and statements.")
    ] = 0,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Durable waits for shell scripts and cron jobs.

    Settings: flag > environment (WAITCTL_DATABASE_URL, WAITCTL_CONFIG, WAITCTL_TIMEZONE) > config file > default.
    """
    inherited = context.obj if isinstance(context.obj, Session) else Session()
    context.obj = Session(database_url, config, verbose, inherited.inline_command)


def main() -> None:
    """The `waitctl` command."""
    code = run(sys.argv[1:])
    if code == ExitCode.INTERRUPTED:
        # Python would wait for a thread in the middle of a batch; what it has not committed, its database undoes. And
        # it would end by SIGINT if Ctrl-C came while a dataclass was made, as for any text that is executed.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Prints errors; raises nothing."""
    prepare_streams()
    be_quiet(False)
    arguments, inline = _split_inline_command(arguments)
    try:
        code = take_plain_values(typer.main.get_command(app)).main(
            arguments, prog_name="waitctl", standalone_mode=False, obj=Session(inline_command=inline)
        )
        if code == ExitCode.INTERRUPTED:  # Typer turns Ctrl-C into an exit status, without a word
            return _interrupted(None, arguments)
        sys.stdout.flush()
        return code if isinstance(code, int) else ExitCode.OK
    except Interrupted as stop:
        return _interrupted(stop.hint, arguments)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(None, arguments)
    except BrokenPipeError:
        # Whoever read us has had enough, as in `waitctl list | head`: nothing to say, and nobody to say it to.
        _drop_output()
        return ExitCode.FAILURE
    except Exception as error:
        return _handle(error, arguments)


def _interrupted(hint: str | None, arguments: Sequence[str]) -> ExitCode:
    from waitctl.cli.stopping import end_soon

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends already: once more would only bring a traceback
    end_soon()  # though nobody reads what it has still to say
    _report("interrupted", "interrupted", hint, arguments)
    return ExitCode.INTERRUPTED


def _drop_output() -> None:
    """Let what could not be written go, or Python tries once more on its way out and changes the exit status."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_NO_MORE_THREADS = "can't start new thread"
_NO_ROOM_FOR_IT = "failed to map segment from shared object"
"""What Python and the loader say, by errors that have no name of their own for it."""


def _handle(error: Exception, arguments: Sequence[str]) -> ExitCode:
    if _verbosity(arguments) >= 2:
        _show_traceback(arguments)
    match error:
        case WaitStepError():
            _report(error.code, error.message, error.hint, arguments)
            return ExitCode.of(error)
        case typer.TyperException():
            return _usage(error, arguments)
        case OSError():
            try:
                sys.stdout.flush()
            except OSError:
                _drop_output()
            _report(
                "io", f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", None, arguments
            )
            return ExitCode.FAILURE
        case MemoryError() | ImportError() if isinstance(error, MemoryError) or _NO_ROOM_FOR_IT in str(error):
            _report("out_of_memory", "there is no more memory for this process", None, arguments)
            return ExitCode.FAILURE
        case RuntimeError() if str(error) == _NO_MORE_THREADS:
            _report("no_more_threads", "the system lets this process have no more threads", None, arguments)
            return ExitCode.FAILURE
        case _:
            _report(
                "internal",
                f"{type(error).__name__}: {str(error).partition(chr(10))[0]}",
                "this is a bug in waitctl; waitctl -vv … shows the traceback",
                arguments,
            )
            return ExitCode.FAILURE


def _show_traceback(arguments: Sequence[str]) -> None:
    """How it came to the error, but for the secrets of the URLs that it may be about."""
    import traceback

    from waitctl.infrastructure.redaction import redact, remember

    for text in (*arguments, os.environ.get("WAITCTL_DATABASE_URL", "")):
        remember(text)
    sys.stderr.write(redact(traceback.format_exc()))


def _usage(error: typer.TyperException, arguments: Sequence[str]) -> ExitCode:
    """An error of the command line itself."""
    if type(error).__name__ == "NoArgsIsHelpError":
        if words := error.format_message():
            typer.echo(words)
        return ExitCode.USAGE
    from waitctl.cli.usage import explain_usage

    _report(*explain_usage(error, arguments), arguments)
    return ExitCode.USAGE


def _report(code: str, message: str, hint: str | None, arguments: Sequence[str]) -> None:
    from waitctl.infrastructure.redaction import redact

    message = redact(" ".join(message.split()))
    print_error(code, message, None if hint is None else redact(hint), as_json=_wants_json(arguments))


def _wants_json(arguments: Sequence[str]) -> bool:
    """Whether the command line asks for JSON; looked up by hand, since it may be what could not be parsed."""
    joined = "\0".join(arguments)
    return bool(re.search(r"(?:^|\0)(?:-o\0?|--output[\0=])(?:nd)?json(?:\0|$)", joined))


def _verbosity(arguments: Sequence[str]) -> int:
    return sum(2 if argument == "-vv" else argument in {"-v", "--verbose"} for argument in arguments[:8])


def _split_inline_command(arguments: Sequence[str]) -> tuple[list[str], tuple[str, ...] | None]:
    """Split ``create … -- COMMAND ARG…`` before options are parsed."""
    before = list(arguments)
    if "--" not in before or "create" not in before[: before.index("--")]:
        return before, None
    at = before.index("--")
    return before[:at], tuple(before[at + 1 :])
