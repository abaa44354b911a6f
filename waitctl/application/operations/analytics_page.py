"""An analysis as one page that needs nothing else: no script, no network, bars as SVG, light and dark."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

from waitctl.application.operations.analytics import Analysis, bucket_words, seconds_words, share_words, span_words
from waitctl.domain.analytics import OUTCOMES, SHARES, Distribution, Group
from waitctl.domain.counts import number_of
from waitctl.domain.errors import InvalidSettingError
from waitctl.domain.instants import format_instant
from waitctl.domain.text import clean
from waitctl.infrastructure.file_trust import check_owner
from waitctl.infrastructure.new_files import replace_text

MOST_GROUPS = 500
"""Groups that a page shows: those of most waits. The others are in the JSON."""

_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--dim:#59636e;--line:#d1d9e0;--page:#fff;
--resumed:#1a7f37;--timeout:#bf8700;--cancelled:#818b98;--error:#cf222e;--event:#0969da}
@media(prefers-color-scheme:dark){:root{--ink:#f0f6fc;--dim:#9198a1;--line:#3d444d;--page:#0d1117;
--resumed:#3fb950;--timeout:#d29922;--cancelled:#7d8590;--error:#f85149;--event:#4493f8}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:1rem;font:15px/1.45 system-ui,sans-serif;
background:var(--page);color:var(--ink)}
h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.1rem;margin:1.6rem 0 .5rem}
p,caption,.dim{color:var(--dim)}
dl{display:flex;flex-wrap:wrap;gap:.5rem 1.5rem;margin:.8rem 0}
dt{color:var(--dim);font-size:.85rem}dd{margin:0;font-size:1.15rem}
table{border-collapse:collapse;width:100%;table-layout:fixed}
th,td{padding:.15rem .4rem;text-align:left;overflow-wrap:anywhere;vertical-align:middle}
thead th{color:var(--dim);font-weight:normal;border-bottom:1px solid var(--line)}
tbody th{font-weight:normal}
.name{width:30%}.number{width:7rem;text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.wide{overflow-x:auto}.wide table{table-layout:auto}.wide .number{width:auto}.wide th[scope=row]{min-width:9rem}
svg{display:block;width:100%;height:14px}
.resumed{fill:var(--resumed)}.timeout{fill:var(--timeout)}.cancelled{fill:var(--cancelled)}.error{fill:var(--error)}
.event{fill:var(--event)}
.key span{margin-right:.9rem;white-space:nowrap}
.key svg{display:inline-block;width:12px;height:12px;margin-right:.3rem;vertical-align:-1px}
"""


def page(found: Analysis) -> str:
    """The page as a text."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return "".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f"<title>waitctl analytics</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n",
            *_body(found),
            "</main>\n</body>\n</html>\n",
        )
    )


def write_page(path: Path, found: Analysis) -> None:
    """Put the page in the place of a file: whole or not at all.

    Raises `InvalidSettingError`, and `UnsafeFileError` when the file, or a link of that name, is somebody else's.
    """
    check_owner(path, "the page")
    try:
        path = path.resolve()  # of a link, what it leads to
        there = path.stat() if path.exists() else None
        if there is not None and not stat.S_ISREG(there.st_mode):
            raise InvalidSettingError(f"cannot write {path}: it is no file")
        replace_text(path, page(found), mode=_new_mode() if there is None else stat.S_IMODE(there.st_mode))
    except OSError as error:
        raise InvalidSettingError(f"cannot write {path}: {error.strerror}") from error


def _new_mode() -> int:
    """What this process gives to new files."""
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


# -- what stands there -------------------------------------------------------------------------------------------------


def _body(found: Analysis) -> Iterator[str]:
    yield f"<h1>{number_of(found.everything.waits, 'wait')} ended</h1>\n"
    yield f"<p>{_text(span_words(found))}, until {_text(format_instant(found.until))}</p>\n"
    yield _facts(found.everything)
    if found.by is None:
        yield _section("Outcomes", _outcome_bars([("all", found.everything)]))
    else:
        shown = found.groups[:MOST_GROUPS]
        yield _section(f"By {found.by}", _outcome_bars(shown, "(none)") + _left_out(found, len(shown)))
        yield _section("In figures", _figures(found.by.value, shown))
    for title, distribution in (("Time to event", found.everything.to_event), ("Lateness", found.everything.late)):
        if distribution.counts:
            yield _section(title, _histogram(distribution))


def _left_out(found: Analysis, shown: int) -> str:
    left = len(found.groups) - shown
    return (
        f"<p>and {number_of(left, 'group')} of fewer waits: waitctl analytics --by {found.by} -o csv</p>\n"
        if left
        else ""
    )


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{_text(title)}</h2>\n{content}</section>\n"


def _facts(group: Group) -> str:
    facts = [
        ("events in time", share_words(group.event_share)),
        ("time to event, median", seconds_words(group.to_event.quantile(0.5))),
        ("late, 99th percentile", seconds_words(group.late.quantile(0.99))),
        ("attempts", f"{group.tried:,}"),
    ]
    return "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>" for name, value in facts) + "</dl>\n"


def _outcome_bars(groups: Sequence[tuple[str, Group]], unnamed: str = "") -> str:
    """A bar a group, as long as it has waits against the largest, in the colours of what became of them."""
    most = max((group.waits for _, group in groups), default=0) or 1
    key = "".join(f"<span>{_bar([(status.value, 1.0, status.value)])}{status}</span>" for status in OUTCOMES)
    rows = (
        (
            name or unnamed,
            _bar([(status.value, count / most, f"{status}: {count:,}") for status, count in group.outcomes.items()]),
            f"{group.waits:,}",
        )
        for name, group in groups
    )
    return f'<p class="key">{key}</p>\n' + _bars(rows)


def _histogram(distribution: Distribution) -> str:
    counts = distribution.counts
    most = max(counts.values())
    bounds = sorted(counts)
    rows = (
        (bucket_words(bound), _bar([("event", counts[bound] / most, f"{counts[bound]:,}")]), f"{counts[bound]:,}")
        for bound in bounds
    )
    shares = ", ".join(f"{name} {seconds_words(value)}" for name, value in distribution.percentiles().items())
    return f"<p>{_text(shares)}</p>\n" + _bars(rows)


def _bars(rows: Iterable[tuple[str, str, str]]) -> str:
    lines = (
        f'<tr><th class="name" scope="row">{_text(name)}</th><td>{bar}</td><td class="number">{number}</td></tr>\n'
        for name, bar, number in rows
    )
    return f"<table>\n<tbody>\n{''.join(lines)}</tbody>\n</table>\n"


def _bar(parts: Sequence[tuple[str, float, str]]) -> str:
    """Parts of a bar, one behind the other: their class, their share of the whole width, and their words."""
    drawn, at = [], 0.0
    for name, share, words in parts:
        if share:
            box = f'x="{at * 100:.3f}%" width="{share * 100:.3f}%" height="100%"'
            drawn.append(f'<rect class="{name}" {box}><title>{_text(words)}</title></rect>')
        at += share
    said = "; ".join(words for _, share, words in parts if share)
    return f'<svg role="img" aria-label="{_text(said)}">{"".join(drawn)}</svg>'


_HEADS = (
    *("waits", *(status.value for status in OUTCOMES), "by event"),
    *(f"{what} {name}" for what in ("event", "late") for name in SHARES),
    "attempts",
)


def _figures(by: str, groups: Sequence[tuple[str, Group]]) -> str:
    head = "".join(f'<th class="number" scope="col">{name}</th>' for name in _HEADS)
    lines = (
        f'<tr><th scope="row">{_text(name or "(none)")}</th>'
        + "".join(f'<td class="number">{_text(cell)}</td>' for cell in _cells(group))
        + "</tr>\n"
        for name, group in groups
    )
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="In figures">\n<table>\n'
        f'<thead><tr><th scope="col">{by}</th>{head}</tr></thead>\n'
        f"<tbody>\n{''.join(lines)}</tbody>\n</table>\n</div>\n"
    )


def _cells(group: Group) -> Iterator[str]:
    yield f"{group.waits:,}"
    yield from (f"{count:,}" for count in group.outcomes.values())
    yield share_words(group.event_share)
    for distribution in (group.to_event, group.late):
        yield from map(seconds_words, distribution.percentiles().values())
    yield f"{group.tried:,}"


def _text(text: str) -> str:
    """A text as HTML: what would steer a terminal or a reading direction is gone, the rest is escaped."""
    return escape(clean(text))
