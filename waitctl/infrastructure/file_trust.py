"""Which files may carry code or secrets: those that nobody but this user and root can change, as sshd has it for keys.

A file passes when it belongs to this user or to root and nobody else may write to it, and when the same holds of every
folder above it, apart from sticky folders of root. Symbolic links are followed here, one component after the other and
each by the descriptor of the folder that it stands in, so that every name that leads to the file is looked at. From
then on nobody else can exchange any part of the path.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from waitctl.domain.errors import UnsafeFileError

OVERRIDE = "WAITCTL_ALLOW_UNSAFE_FILES"
"""The variable that turns the rule off when it is 1."""

_MOST_LINKS = 40
"""Symbolic links in one path, as Linux has it."""

# Linux has a descriptor that only names a thing: it needs no right to read a folder, and of a database it takes no lock
# of ours away when it is closed.
_LOOK = os.O_CLOEXEC | os.O_NOFOLLOW | getattr(os, "O_PATH", os.O_RDONLY)


def allows_unsafe_files(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the environment says that the rule is off."""
    return (os.environ if environ is None else environ).get(OVERRIDE) == "1"


def open_trusted(path: Path, what: str, *, secret: bool = False, environ: Mapping[str, str] | None = None) -> int:
    """Open a file to read, and return its descriptor: what is looked at is what is open.

    ``what`` names it in errors. A ``secret`` must not be readable by others either. Raises `UnsafeFileError`, and
    `OSError` as `os.open` does.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe that stands there must not hold us up
    if allows_unsafe_files(environ):
        return os.open(path, flags)
    with _folder_of(path, what) as (folder, name, place):
        descriptor = os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)
    try:
        status = os.fstat(descriptor)
        _check(status, place, what)
        if secret:
            _check_secret(status, place, what)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_trusted(
    path: Path, what: str, *, most: int = -1, secret: bool = False, environ: Mapping[str, str] | None = None
) -> bytes:
    """What stands in a file, at most so many bytes of it; see `open_trusted`."""
    with os.fdopen(open_trusted(path, what, secret=secret, environ=environ), "rb") as file:
        return file.read(most)


def read_anybodys(path: Path, most: int) -> bytes:
    """What stands in a file that may be anybody's, at most so many bytes of it. Raises `OSError`, also for no file."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no file", str(path))
        return file.read(most)


def check_files(path: Path, what: str, suffixes: Sequence[str] = ()) -> tuple[int, int] | None:
    """Check a file and those beside it whose names have these suffixes, without opening any of them.

    Returns its device and inode; ``None`` when there is no such file yet. Raises `UnsafeFileError`.
    """
    if allows_unsafe_files():
        return file_identity(path)
    found = None
    try:
        with _folder_of(path, what) as (folder, name, place):
            for suffix in ("", *suffixes):
                try:
                    status = os.stat(name + suffix, dir_fd=folder, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                _check(status, place.with_name(name + suffix), what)
                if not suffix:
                    found = status.st_dev, status.st_ino
    except FileNotFoundError:  # a folder is yet to be made, by us
        return None
    except OSError as error:
        raise UnsafeFileError(f"{what} cannot be looked at: {path}: {error.strerror}") from error
    return found


def check_owner(path: Path, what: str, suffixes: Sequence[str] = ()) -> None:
    """Check that a file, if it is there, belongs to this user or to root; beside the user's own, those files, too.

    Nor may its name be a link of somebody else's, who would choose what is opened, or made, in its place.

    What stands beside a file of root's is whose turn it was to make it: several users share that. Raises
    `UnsafeFileError`.
    """
    if allows_unsafe_files():
        return
    try:
        _check_owner(path.lstat(), path, what)
        status = path.stat()
    except OSError:
        return  # whoever opens it says it better
    _check_owner(status, path, what)
    for suffix in suffixes if status.st_uid == os.geteuid() else ():
        beside = path.with_name(path.name + suffix)
        with suppress(OSError):
            _check_owner(beside.lstat(), beside, what, is_planted=True)


def shared_folder(path: Path) -> Path | None:
    """The folder that a file really stands in, when others may make files there; ``None`` when nobody may."""
    folder = Path(os.path.realpath(path)).parent
    try:
        status = folder.stat()
    except OSError:
        return None
    user, mode = os.geteuid(), status.st_mode
    by_group = mode & stat.S_IWGRP and not is_own_group(status.st_gid, user)
    return folder if status.st_uid not in {0, user} or mode & stat.S_IWOTH or by_group else None


def file_identity(path: Path) -> tuple[int, int] | None:
    """Which file it is that bears this name now: device and inode."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def opened(wanted: tuple[int, int]) -> int | None:
    """How many descriptors of this process are open on that file; ``None`` where the system does not tell."""
    try:
        numbers = [int(name) for name in os.listdir("/dev/fd")]  # noqa: PTH208 (names of no files)
    except OSError:
        return None
    count = 0
    for number in numbers:
        try:
            status = os.fstat(number)
        except OSError:  # the one that listed them
            continue
        count += (status.st_dev, status.st_ino) == wanted
    return count


# -- the way to a file -------------------------------------------------------------------------------------------------


@contextmanager
def _folder_of(path: Path, what: str) -> Iterator[tuple[int, str, Path]]:
    """The folder that a file really stands in, as a descriptor; the file's own name there; and both as a path.

    Every folder on the way has passed. Raises `UnsafeFileError`, and `OSError` as `os.open` does.
    """
    names = list(reversed(path.absolute().parts[1:]))
    place, links = Path("/"), 0
    folder = os.open(place, _LOOK | os.O_DIRECTORY)
    try:
        _check(os.fstat(folder), place, what)
        while True:
            name = names.pop() if names else "."
            target = _link(folder, name, place / name, what)
            if target is not None:
                links += 1
                if links > _MOST_LINKS:
                    raise UnsafeFileError(f"{what}: there are too many symbolic links in {path}")
                names += reversed(target.parts[1:] if target.is_absolute() else target.parts)
                if target.is_absolute():
                    place, folder = Path("/"), _step(folder, "/")
                continue
            if not names:
                yield folder, name, place / name
                return
            folder = _step(folder, name)
            place = place.parent if name == ".." else place / name
            _check(os.fstat(folder), place, what)
    finally:
        os.close(folder)


def _link(folder: int, name: str, place: Path, what: str) -> Path | None:
    """Where a symbolic link leads; ``None`` when it is none. Raises `UnsafeFileError` when somebody else made it."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(status.st_mode):
        return None
    _check_owner(status, place, what)
    return Path(os.readlink(name, dir_fd=folder))


def _step(folder: int, name: str) -> int:
    """Open a folder from another one, which is closed."""
    below = os.open(name, _LOOK | os.O_DIRECTORY, dir_fd=folder)
    os.close(folder)
    return below


# -- the rule ----------------------------------------------------------------------------------------------------------


def _check(status: os.stat_result, place: Path, what: str) -> None:
    _check_owner(status, place, what)
    mode = status.st_mode
    if stat.S_ISDIR(mode) and mode & stat.S_ISVTX and status.st_uid == 0:
        return
    if mode & stat.S_IWOTH:
        raise UnsafeFileError(f"{what} is not safe: anybody may write to {place}", hint=_remedy("chmod o-w", place))
    if mode & stat.S_IWGRP and _has_access_list(place):
        raise UnsafeFileError(
            f"{what} is not safe: an access list lets others write to {place}", hint=_remedy("setfacl -b", place)
        )
    if mode & stat.S_IWGRP and not is_own_group(status.st_gid, os.geteuid()):
        raise UnsafeFileError(
            f"{what} is not safe: the group {_group(status.st_gid)} may write to {place}",
            hint=_remedy("chmod g-w", place),
        )


def _has_access_list(place: Path) -> bool:
    """Whether the bits for the group are those of a POSIX access list, which names other users and groups."""
    try:
        os.getxattr(place, "system.posix_acl_access", follow_symlinks=False)
    except (OSError, AttributeError):  # there is none, or the system knows none
        return False
    return True


def _check_owner(status: os.stat_result, place: Path, what: str, *, is_planted: bool = False) -> None:
    """``is_planted``: most likely. Made one's own, it would be taken for a part of the database, whatever it says."""
    user = os.geteuid()
    if status.st_uid not in {0, user}:
        owner = user_name(status.st_uid)
        remedy = _remedy(f"chown {'-h ' if stat.S_ISLNK(status.st_mode) else ''}{user_name(user)}", place)
        if is_planted:
            remedy = (
                f"{_remedy('rm', place)}, unless {owner} has worked with this database; keep it in a folder of its own"
            )
        raise UnsafeFileError(f"{what} is not safe: {place} belongs to {owner}", hint=remedy)


def _check_secret(status: os.stat_result, place: Path, what: str) -> None:
    others = status.st_mode & stat.S_IROTH
    if others or (status.st_mode & stat.S_IRGRP and not is_own_group(status.st_gid, os.geteuid())):
        raise UnsafeFileError(f"{what} is not safe: others may read {place}", hint=_remedy("chmod go-rwx", place))


def _remedy(command: str, place: Path) -> str:
    from shlex import quote  # only on the way out

    return f"{command} {quote(str(place))}"


@lru_cache(maxsize=64)
def is_own_group(group: int, user: int) -> bool:
    """Whether nobody is in this group but the user and root: what a umask of 002 counts on.

    Asks only those files and services that list all users. A group that nobody knows may be anybody's.
    """
    import grp
    import pwd

    try:
        named = grp.getgrgid(group).gr_mem
        members = {pwd.getpwnam(name).pw_uid for name in named}
    except KeyError:
        return False
    members.update(entry.pw_uid for entry in pwd.getpwall() if entry.pw_gid == group)
    return members <= {0, user}


def user_name(user: int) -> str:
    """A user's name, or the number of one that has none."""
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _group(group: int) -> str:
    import grp

    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)
