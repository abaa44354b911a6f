"""What a host's config says of a handler: the code that runs when a wait ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from waitctl.domain.deliveries import RetryPolicy
from waitctl.domain.errors import InvalidWaitConfigurationError
from waitctl.domain.patterns import pattern
from waitctl.domain.statuses import Outcome
from waitctl.domain.values import dataclass

if TYPE_CHECKING:
    from waitctl.domain.text import JsonObject

INLINE = "--"
"""The name of the handler that runs a wait's own command: what stands before it on the command line."""

INLINE_TIMEOUT = timedelta(hours=1)
"""How long an inline command may run: longer than a handler, since nobody has thought of a number for it."""

MAX_COMMAND = 64 * 1024
"""Bytes of an inline command."""

_NOT_AN_ARGUMENT = pattern(r"[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class ExecConfig:
    """A command: argv, never a shell string. With ``batch`` one process takes many deliveries."""

    argv: tuple[str, ...]
    batch: bool = False


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """Where a webhook goes, and where the secret that signs it stands: never the secret itself."""

    url: str
    secret_env: str | None = None
    secret_file: str | None = None


@dataclass(frozen=True, slots=True)
class Inheritance:
    """Which of the tick's variables a command gets: all but ``drop``, or of all no more than ``only``.

    Both are names, in which ``*`` stands for anything. What tells a command of its delivery is never among them.
    """

    drop: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None

    def includes(self, name: str) -> bool:
        """Whether a command gets the variable of this name."""
        if self.only is not None and not _is_named(name, self.only):
            return False
        return not _is_named(name, self.drop)


def _is_named(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class NotifyConfig:
    """A channel of PostgreSQL's NOTIFY."""

    channel: str


@dataclass(frozen=True, slots=True)
class PythonConfig:
    """A function, as ``package.module:function``.

    In a process of its own it can end, or leave threads and what it printed, without harm to the tick.
    """

    function: str
    own_process: bool = True


@dataclass(frozen=True, slots=True)
class InlineConfig:
    """The command that each wait brings along."""


Target = ExecConfig | WebhookConfig | NotifyConfig | PythonConfig | InlineConfig
"""What a handler does with a delivery."""


@dataclass(frozen=True, slots=True)
class HandlerConfig:
    """One ``[handlers.NAME]`` of the config file."""

    name: str
    target: Target
    timeout: timedelta = timedelta(seconds=30)
    concurrency: int = 8
    retry: RetryPolicy = RetryPolicy()
    on_dead: str | None = None
    """The handler that is told of a delivery that died."""
    inheritance: Inheritance = Inheritance()
    """Of a command: what it gets of the tick's environment."""


@dataclass(frozen=True, slots=True)
class InlineCommand:
    """A command that a wait brings along: argv, never a shell string, and the folder that it was given in."""

    argv: tuple[str, ...]
    folder: str

    def checked(self) -> InlineCommand:
        """Return this command when both databases can keep it. Raises `InvalidWaitConfigurationError`."""
        if not self.argv or not self.argv[0]:
            raise InvalidWaitConfigurationError("there is no command behind --")
        if any(_NOT_AN_ARGUMENT.search(text) for text in (*self.argv, self.folder)):
            raise InvalidWaitConfigurationError("the command holds bytes that are not UTF-8, or NUL")
        if sum(len(text.encode()) for text in self.argv) > MAX_COMMAND:
            raise InvalidWaitConfigurationError(f"the command is longer than {MAX_COMMAND:,} bytes")
        return self

    def to_json(self) -> JsonObject:
        """The command as a wait keeps it."""
        return {"argv": list(self.argv), "folder": self.folder}

    @classmethod
    def from_json(cls, value: object) -> InlineCommand | None:
        """The command that a wait keeps; ``None`` for what is none, as another program may have written it."""
        if not isinstance(value, dict):
            return None
        argv, folder = value.get("argv"), value.get("folder")
        is_argv = isinstance(argv, list) and all(isinstance(each, str) for each in argv)
        return cls(tuple(argv), folder) if argv and is_argv and isinstance(folder, str) else None


def take_signature(fields: JsonObject) -> str | None:
    """Take the signature out of a wait's command, and return it: nobody else has any business with it."""
    command = fields["command"]
    signature = command.pop("mac", None) if isinstance(command, dict) else None
    return signature if isinstance(signature, str) else None


@dataclass(frozen=True, slots=True)
class Routes:
    """Which handler hears of which outcome: ``default`` of all that ``by_outcome`` does not name."""

    default: str | None = None
    by_outcome: Mapping[Outcome, str] | None = None


def parse_routes(texts: Sequence[str]) -> Routes:
    """Parse ``NAME`` and ``OUTCOME=NAME``.

    Raises `InvalidWaitConfigurationError` for two of a kind and for what is no outcome: a slip would hear of all.
    """
    default: str | None = None
    by_outcome: dict[Outcome, str] = {}
    for text in texts:
        outcome, equals, name = text.partition("=")
        if equals and outcome not in set(Outcome):
            raise InvalidWaitConfigurationError(
                f"--handler {text!a}: {outcome!a} is no outcome", hint=f"of {', '.join(Outcome)}"
            )
        if not equals:
            if default not in {None, text}:
                raise InvalidWaitConfigurationError(
                    f"two handlers: {default!a} and {text!a}", hint="by outcome: --handler timeout=NAME --handler NAME"
                )
            default = text
        elif by_outcome.setdefault(Outcome(outcome), name) != name:
            raise InvalidWaitConfigurationError(f"two handlers for the outcome {outcome}")
    return Routes(default, by_outcome or None)


class Retry(Exception):  # noqa: N818 (no error: an answer)
    """Raised by a ``python`` handler: try later, without using up an attempt.

    ``after`` says how much later, at least a second; left out, the handler's backoff does.
    """

    def __init__(self, reason: str = "asked to be tried later", *, after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.after = None if after is None else max(after, timedelta(seconds=1))


class Dead(Exception):  # noqa: N818 (no error: an answer)
    """Raised by a ``python`` handler: trying again is no use. The delivery is dead at once."""
