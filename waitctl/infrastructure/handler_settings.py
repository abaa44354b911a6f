"""How ``[handlers.NAME]`` of the config file is checked. Loaded with the file, since pydantic is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic.fields import FieldInfo

from waitctl.domain.deliveries import RetryPolicy
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import WaitStepError
from waitctl.domain.handlers import (
    INLINE,
    INLINE_TIMEOUT,
    ExecConfig,
    HandlerConfig,
    Inheritance,
    InlineConfig,
    NotifyConfig,
    PythonConfig,
    Target,
    WebhookConfig,
)

T = TypeVar("T")


def as_value_error(check: Callable[[], T]) -> T:
    """pydantic collects ValueErrors; ours are no such thing."""
    try:
        return check()
    except WaitStepError as error:
        raise ValueError(error.message) from error


def _duration(value: object) -> timedelta:
    if not isinstance(value, str):
        raise ValueError('write a duration in quotes, as in "30s"')
    return as_value_error(lambda: parse_duration(value).elapsed)


def _url(value: str) -> str:
    try:
        _check_url(value, urlsplit(value))
    except UnicodeError:
        raise ValueError("that is no host name") from None
    return value


def _check_url(value: str, url: SplitResult) -> None:
    if url.scheme not in {"http", "https"} or not url.hostname or url.port == 0:
        raise ValueError("write a URL, as in https://example.org/hooks")
    if url.username is not None or url.password is not None:
        raise ValueError("a URL in a config file holds no password")
    if url.fragment or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("a URL is ASCII without blanks or a #fragment: percent-encode the rest")
    url.hostname.encode("idna")


def _channel(value: str) -> str:
    if len(value.encode()) > 63:
        raise ValueError("PostgreSQL takes 63 bytes as the name of a channel")
    return value


def _function(value: str) -> str:
    module, _, name = value.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        raise ValueError('write it as "package.module:function"')
    return value


def says(meaning: str, example: str) -> FieldInfo:
    """What a key means, as the reference and the man page print it, and an example of it as TOML."""
    field: FieldInfo = Field(description=meaning, examples=[example])
    return field


Span = Annotated[timedelta, BeforeValidator(_duration)]
Word = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00]*$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_*][A-Za-z0-9_*]*$")]
Channel = Annotated[Word, AfterValidator(_channel)]
Function = Annotated[str, AfterValidator(_function)]
TargetUrl = Annotated[str, AfterValidator(_url)]

KINDS = ("exec", "webhook", "notify", "python")


class HandlerModel(BaseModel):
    """One ``[handlers.NAME]``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    exec: Annotated[
        Annotated[list[Word], Field(min_length=1)] | None,
        says("A command to run, argument by argument, without a shell.", '["/usr/local/bin/nudge.sh", "--fast"]'),
    ] = None
    webhook: Annotated[
        TargetUrl | None, says("A URL to send the delivery to.", '"https://crm.example.org/hooks/waits"')
    ] = None
    notify: Annotated[Channel | None, says("A channel of PostgreSQL's NOTIFY.", '"waits"')] = None
    python: Annotated[
        Function | None, says("A function to call, that the tick's Python can import.", '"shop.waits:score"')
    ] = None
    secret_env: Annotated[
        Word | None, says("The variable that holds the secret which signs a webhook.", '"CRM_SECRET"')
    ] = None
    secret_file: Annotated[
        Word | None, says("The file that holds the secret; a relative one is beside the config file.", '"crm.secret"')
    ] = None
    allow_http: Annotated[bool, says("Whether a signed webhook may go over http://.", "true")] = False
    batch: Annotated[bool, says("Whether a command gets up to 1,000 deliveries at once, one a line.", "true")] = False
    own_process: Annotated[bool, says("Whether a function runs in a process beside the tick.", "false")] = True
    timeout: Annotated[Span, says("How long one attempt may take.", '"30s"')] = timedelta(seconds=30)
    max_attempts: Annotated[int, Field(ge=1, le=1000), says("Attempts before a delivery is dead.", "8")] = 8
    backoff: Annotated[
        Span, says("The pause after the first failed attempt, doubled after each further one.", '"10s"')
    ] = timedelta(seconds=10)
    max_backoff: Annotated[Span, says("The longest pause between two attempts.", '"1h"')] = timedelta(hours=1)
    concurrency: Annotated[int, Field(ge=1, le=256), says("Deliveries at once, in one tick.", "8")] = 8
    on_dead: Annotated[Word | None, says("The handler that is told of this one's dead deliveries.", '"tell-ops"')] = (
        None
    )
    env_drop: Annotated[
        list[Variable], says("Variables of the tick that a command does not get; * stands for anything.", '["*_TOKEN"]')
    ] = []
    env_only: Annotated[
        list[Variable] | None, says("The only variables of the tick that a command gets.", '["PATH", "HOME", "LC_*"]')
    ] = None

    @model_validator(mode="after")
    def _fits_together(self) -> HandlerModel:
        given = self._given
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)}: give one of {', '.join(KINDS)}")
        belongs = {
            "exec": ("batch",),
            "webhook": ("secret_env", "secret_file", "allow_http"),
            "python": ("own_process",),
        }
        for kind, keys in belongs.items():
            alone = [key for key in keys if key in self.model_fields_set]
            if kind not in given and alone:
                raise ValueError(f"{alone[0]} goes with {kind}")
        if given and "exec" not in given and (self.env_drop or self.env_only is not None):
            raise ValueError("env_drop and env_only go with exec")
        if self.env_drop and self.env_only is not None:
            raise ValueError("env_drop and env_only: give one of them")
        if self.batch and "concurrency" in self.model_fields_set:
            raise ValueError("concurrency and batch: a batch is one process at a time")
        if self.secret_env is not None and self.secret_file is not None:
            raise ValueError("secret_env and secret_file: give one of them")
        signed = self.secret_env is not None or self.secret_file is not None
        if self.webhook is not None and signed and not self.allow_http and urlsplit(self.webhook).scheme == "http":
            raise ValueError("webhook: http:// with a secret can be read on the way; allow_http = true allows it")
        return self

    @property
    def _given(self) -> list[str]:
        return [kind for kind in KINDS if getattr(self, kind) is not None]

    def to_config(self, name: str, folder: Path) -> HandlerConfig:
        """The handler as the rest of waitctl knows it. A relative file is one beside the config file.

        Raises `ValueError` when it has nothing to run, or is the one of inline commands and has.
        """
        if name == INLINE and self._given:
            raise ValueError(f"{INLINE} runs the commands of waits: {self._given[0]} has no place here")
        if name != INLINE and not self._given:
            raise ValueError(f"nothing to run: give one of {', '.join(KINDS)}")
        return HandlerConfig(
            name=name,
            target=self._target(folder),
            timeout=self.timeout if name != INLINE or "timeout" in self.model_fields_set else INLINE_TIMEOUT,
            concurrency=1 if self.batch else self.concurrency,
            retry=RetryPolicy(self.max_attempts, self.backoff, self.max_backoff),
            on_dead=self.on_dead,
            inheritance=Inheritance(tuple(self.env_drop), None if self.env_only is None else tuple(self.env_only)),
        )

    def _target(self, folder: Path) -> Target:
        if self.exec is not None:
            return ExecConfig(tuple(self.exec), self.batch)
        if self.webhook is not None:
            secret_file = None if self.secret_file is None else str(folder / Path(self.secret_file).expanduser())
            return WebhookConfig(self.webhook, self.secret_env, secret_file)
        if self.notify is not None:
            return NotifyConfig(self.notify)
        if self.python is not None:
            return PythonConfig(self.python, self.own_process)
        return InlineConfig()
