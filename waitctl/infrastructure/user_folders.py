"""Where this user's config, key and database are, unless something says otherwise."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from waitctl.domain.errors import InvalidSettingError


def config_folder() -> Path:
    """The folder of the config file and of the key. Raises `InvalidSettingError` for a user without a home."""
    return _of_user("XDG_CONFIG_HOME", ".config", "user_config_path")


def data_folder() -> Path:
    """The folder of the database. Raises `InvalidSettingError` for a user without a home."""
    return _of_user("XDG_DATA_HOME", ".local/share", "user_data_path")


def unit_folder() -> Path:
    """The folder of this user's units of systemd. Raises `InvalidSettingError` for a user without a home."""
    return config_folder().parent / "systemd" / "user"


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, as this user's alone: a group that may write to one could exchange the rest.

    Raises `OSError`.
    """
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def _of_user(variable: str, under_home: str, find: str) -> Path:
    if sys.platform == "linux":  # as `platformdirs` has it, which takes longer to import than a database to open
        given, home = os.environ.get(variable, ""), os.environ.get("HOME", "")
        if given.startswith("/"):
            return Path(given, "waitctl")
        if home.startswith("/"):
            return Path(home, under_home, "waitctl")
    import platformdirs

    try:
        found: Path = getattr(platformdirs, find)("waitctl", appauthor=False)
    except RuntimeError as error:  # no variable, and no such user in the list of users, as in some containers
        raise InvalidSettingError("this user has no home directory", hint="set HOME") from error
    return found
