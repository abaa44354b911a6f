"""Data as YAML and as CSV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from waitctl.cli.output import json_text
from waitctl.domain.patterns import pattern

# -- YAML --------------------------------------------------------------------------------------------------------------

_PLAIN = pattern(r"(?!(?:true|false|null|yes|no|on|off|y|n)$)[a-z][a-z_]*")
"""Words that are no other value in any version of YAML; every other text is quoted, as JSON quotes it."""

_YAML_BREAKS = pattern("[\u2028\u2029\ufeff]")


def yaml_text(value: Any) -> str:
    """The value as a YAML document (1.1 and 1.2 read the same), which a JSON reader's types come out of unchanged."""
    return "".join(f"{line}\n" for line in yaml_lines(value))


def yaml_lines(value: Any, indent: str = "") -> Iterator[str]:
    """The lines of a value as a block of YAML."""
    match value:
        case dict() if value:
            for key, each in value.items():
                yield from _yaml_entry(f"{indent}{_yaml_scalar(key)}:", each, indent + "  ")
        case list() if value:
            for each in value:
                first, *rest = yaml_lines(each, indent + "  ")
                yield f"{indent}- {first[len(indent) + 2 :]}"
                yield from rest
        case _:
            yield indent + _yaml_scalar(value)


def _yaml_entry(name: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield name
        yield from yaml_lines(value, indent)
    else:
        yield f"{name} {_yaml_scalar(value)}"


def _yaml_scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return str(value)
    text = _YAML_BREAKS.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text(value))
    # YAML 1.1 takes 1e+22 for a text: a number has a point.
    return text.replace("e", ".0e") if isinstance(value, float) and "e" in text and "." not in text else text


# -- CSV ---------------------------------------------------------------------------------------------------------------


def csv_text(rows: Iterable[Mapping[str, Any]], keys: Sequence[str], *, header: bool = True) -> str:
    """The rows as CSV (RFC 4180, but lines end as Unix ends them), under their keys.

    null is nothing, and what is no text stands there as JSON.
    """
    import csv
    import io

    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    if header and keys:
        lines.writerow(keys)
    lines.writerows([_csv_cell(row[key]) for key in keys] for row in rows)
    return text.getvalue()


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json_text(value)
