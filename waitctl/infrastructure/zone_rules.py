"""The IANA time zone rules that are used: the newest of the system's and those of the `tzdata` package."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from waitctl.domain.values import dataclass


@dataclass(frozen=True, slots=True)
class ZoneRules:
    """Zone files in a folder. ``version`` is as in ``2026a``; ``None`` when the folder does not say."""

    folder: Path
    version: str | None


@cache
def all_rules() -> tuple[ZoneRules, ...]:
    """All the rules that there are, the newest first.

    A system's that do not say how old they are come last. The first call decides for the whole process.
    """
    found = [ZoneRules(folder, _version_in(folder)) for folder in _folders()]
    return tuple(sorted(found, key=lambda rules: rules.version or "", reverse=True))  # of two as new the system's


@cache
def use_newest() -> tuple[ZoneRules, ...]:
    """See to it that zones are looked up in the newest rules first. Returns all that there are, in that order."""
    from whenever import clear_tzcache, reset_tzpath

    newest = all_rules()
    if [rules.folder for rules in newest] != _folders():
        reset_tzpath([str(rules.folder) for rules in newest])
        clear_tzcache()
    return newest


@cache
def tzdata_version(zone: str) -> str | None:
    """The version of the rules that ``zone`` is looked up in; ``None`` when they do not say."""
    return next((rules.version for rules in all_rules() if (rules.folder / zone).is_file()), None)


def _folders() -> list[Path]:
    return [folder for folder in (*_of_the_system(), *_packaged()) if folder.is_dir()]


def _of_the_system() -> list[Path]:
    """Where Python looks for zones (PEP 615), and `whenever` as well, which takes longer to ask."""
    given = os.environ.get("PYTHONTZPATH")
    if given is None:
        from sysconfig import get_config_var

        given = get_config_var("TZPATH") or ""
    return [Path(folder) for folder in given.split(os.pathsep) if folder.startswith("/")]


def _packaged() -> list[Path]:
    found = find_spec("tzdata")
    return [] if found is None or found.origin is None else [Path(found.origin).parent / "zoneinfo"]


def _version_in(folder: Path) -> str | None:
    """What a folder of zone files says of itself: most do in ``tzdata.zi``, those of BSD and macOS in ``+VERSION``."""
    for name in ("tzdata.zi", "+VERSION"):
        try:
            with (folder / name).open(encoding="ascii") as file:
                version = file.readline().removeprefix("# version ").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if version[:4].isdecimal():
            return version
    return None
