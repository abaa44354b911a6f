"""A dead man's switch: a URL that hears of every tick, and raises the alarm when it hears of none any more."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException
from threading import Thread

_SECONDS = 5.0
"""How long a ping may take: no tick waits longer for it."""

_MOST = 10_000
"""Bytes of words that are sent along."""


class Pings:
    """Tells the URL of a run's start, success and failure: ``URL/start``, ``URL``, ``URL/fail``, as healthchecks do.

    Nothing of it is the run's business: what goes wrong is in `trouble`, and nobody waits for the start's.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._start: Thread | None = None
        self.trouble: str | None = None
        """Why the last ping was not taken; without the URL, which is as good as a password."""

    def start(self) -> None:
        """Say that a run has begun, beside it."""
        self._start = Thread(target=self._send, args=("/start", ""), name="ping", daemon=True)
        self._start.start()

    def beat(self, words: str = "") -> None:
        """Say that a resident one is well, beside it."""
        if self._start is None or not self._start.is_alive():
            self._start = Thread(target=self._send, args=("", words), name="ping", daemon=True)
            self._start.start()

    def success(self, words: str = "") -> None:
        """Say that it is well."""
        self._finish("", words)

    def failure(self, words: str) -> None:
        """Say that it is not, and why."""
        self._finish("/fail", words)

    def _finish(self, form: str, words: str) -> None:
        if self._start is not None:
            self._start.join(_SECONDS)  # or they might come in the wrong order
            self._start = None
        self._send(form, words)

    def _send(self, form: str, words: str) -> None:
        try:
            request = urllib.request.Request(
                self._url + form, data=words.encode(errors="replace")[:_MOST], headers={"User-Agent": "waitctl"}
            )
            with urllib.request.urlopen(request, timeout=_SECONDS):
                self.trouble = None
        except urllib.error.HTTPError as error:
            self.trouble = f"the ping was answered with {error.code}"
            error.close()
        except (OSError, HTTPException, ValueError) as error:
            self.trouble = f"the ping was not taken: {type(error).__name__}"
