"""What is shown instead of a secret, wherever a text may hold one: errors, tracebacks, what is stored of a failure."""

from __future__ import annotations

import re

from waitctl.domain.patterns import pattern

MASK = "***"

_SHORTEST = 3
"""Characters of a secret that can be told from the text around it."""

_NAMES = r"pass|secret|key|token"

# An @ that nobody has escaped belongs to the password, which ends at the last one; with blanks in it, too, unless it
# begins as a port does.
_PASSWORD = pattern(r"(://[^:/?#@\s]*:)((?!\d+(?:[/?#,\s'\"]|$))[^\n]*|\S*)(?=@)")
_OPTION = pattern(rf"([?&][^=&#\s]*(?:{_NAMES})[^=&#\s]*=)([^&#\s]*)", re.IGNORECASE)

_DELIMITERS = pattern(r"[@:/?#&=]")

_known: set[str] = set()


def redact(text: str) -> str:
    """The text without the passwords and secret options of the URLs in it, and without those of URLs in use."""
    for secret in sorted(_known, key=len, reverse=True):
        if secret in text:
            text = re.sub(rf"(?<![^\W_]){re.escape(secret)}(?![^\W_])", MASK, text)
    if "://" not in text:
        return text
    for shape in (_PASSWORD, _OPTION):
        text = shape.sub(rf"\1{MASK}", text)
    return text


def remember(url: str) -> None:
    """Know the secrets of a URL from now on, however they are spelled: a driver's errors may repeat one alone."""
    for shape in (_PASSWORD, _OPTION):
        for found in shape.finditer(url):
            from urllib.parse import quote, quote_plus, unquote, unquote_plus

            plain = {found[2], unquote(found[2]), unquote_plus(found[2])}
            if "@" in found[2]:  # what nobody has escaped: a driver may take a part of it for the host, and name that
                plain.update(_DELIMITERS.split(found[2]))
            spelled = plain | {encode(each) for each in plain for encode in (quote, quote_plus)}
            _known.update(each for each in spelled if len(each) >= _SHORTEST)
