"""Where this user's config, key and database are, unless something says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from waitctl.domain.errors import InvalidSettingError


def config_folder() -> Path:
    """The folder of the config file and of the key. Raises `InvalidSettingError` for a user without a home."""
    from platformdirs import user_config_path

    return _of_user(user_config_path)


def data_folder() -> Path:
    """The folder of the database. Raises `InvalidSettingError` for a user without a home."""
    from platformdirs import user_data_path

    return _of_user(user_data_path)


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


def _of_user(find: Callable[..., Path]) -> Path:
    try:
        return find("waitctl", appauthor=False)
    except RuntimeError as error:  # no variable, and no such user in the list of users, as in some containers
        raise InvalidSettingError("this user has no home directory", hint="set HOME") from error
