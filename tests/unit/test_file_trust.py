"""One rule for whatever carries code or secrets: nobody else can have changed it, nor any name that leads to it."""

from __future__ import annotations

import grp
import os
import pwd
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from waitctl.domain.errors import UnsafeFileError
from waitctl.infrastructure import file_trust
from waitctl.infrastructure.file_trust import check_files, check_owner, is_own_group, opened, read_trusted

ME = os.geteuid()
SOMEBODY = 65534 if ME != 65534 else 4711


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "above" / "folder"
    folder.mkdir(parents=True)
    (folder / "file").write_text("content")
    return folder / "file"


def shared_group() -> int:
    """A group that is not this user's alone."""
    return next(each.gr_gid for each in grp.getgrall() if not is_own_group(each.gr_gid, ME))


def refusal(file: Path) -> UnsafeFileError:
    """What both ways of looking say: the one that opens the file and the one that does not."""
    with pytest.raises(UnsafeFileError) as looked:
        check_files(file, "it")
    with pytest.raises(UnsafeFileError) as read:
        read_trusted(file, "it")
    assert looked.value.message == read.value.message
    return looked.value


def test_what_is_nobody_elses_is_read(file: Path) -> None:
    assert read_trusted(file, "it") == b"content"
    assert read_trusted(file, "it", most=3) == b"con"
    assert check_files(file, "it") == (file.stat().st_dev, file.stat().st_ino)


@pytest.mark.parametrize("place", ["", "..", "../.."])
def test_others_may_write_nowhere_on_the_way(file: Path, place: str) -> None:
    target = (file.parent / place).resolve() if place else file
    target.chmod(target.stat().st_mode | 0o002)
    error = refusal(file)
    assert str(target) in error.message
    subprocess.run(["sh", "-c", error.hint or ""], check=True)  # the remedy is a command that mends it
    assert read_trusted(file, "it") == b"content"


def test_a_shared_group_may_not_write(file: Path) -> None:
    if ME != 0 and shared_group() not in os.getgroups():
        return  # nobody but root can give a file to a group that is not the user's
    os.chown(file, -1, shared_group())
    file.chmod(0o660)
    error = refusal(file)
    assert grp.getgrgid(shared_group()).gr_name in error.message
    subprocess.run(["sh", "-c", error.hint or ""], check=True)
    assert read_trusted(file, "it") == b"content"


def test_the_users_own_group_may_write(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a umask of 002 makes, where every user has a group of his or her own."""
    monkeypatch.setattr(file_trust, "is_own_group", lambda group, user: (group, user) == (file.stat().st_gid, ME))
    file.chmod(0o664)
    file.parent.chmod(0o775)
    assert read_trusted(file, "it") == b"content"


def test_an_access_list_may_name_anybody(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bits of the group are the most that it gives, then, whoever is in that group."""
    monkeypatch.setattr(file_trust, "is_own_group", lambda group, user: True)
    nobody = 2**32 - 1
    entries = [(1, 6, nobody), (2, 6, SOMEBODY), (4, 0, nobody), (16, 6, nobody), (32, 0, nobody)]
    text = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(file, "system.posix_acl_access", text)
    except (OSError, AttributeError):
        return  # neither does the file system know any
    assert "access list" in refusal(file).message


def test_whose_group_it_is() -> None:
    everybody = [(each, pwd.getpwuid(each.pw_uid)) for each in pwd.getpwall()]
    for entry, _ in everybody:
        primary = {other.pw_uid for other, _ in everybody if other.pw_gid == entry.pw_gid}
        assert is_own_group(entry.pw_gid, entry.pw_uid) <= (primary <= {0, entry.pw_uid})
    assert not is_own_group(2**31 - 7, ME), "a group that nobody knows may be anybody's"


@pytest.mark.parametrize("sticky", [False, True])
def test_a_sticky_folder_of_root_may_be_everybodys(tmp_path: Path, sticky: bool) -> None:
    """As /tmp: nobody can take away there what is another's."""
    if ME != 0:
        assert read_trusted(Path("/etc/passwd"), "it")
        return
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777 if sticky else 0o777)
    (folder / "file").write_text("content")
    if sticky:
        assert read_trusted(folder / "file", "it") == b"content"
    else:
        refusal(folder / "file")


def test_somebody_elses_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: SOMEBODY)
    if ME == 0:  # root's are as good as one's own
        assert read_trusted(file, "it") == b"content"
        os.chown(file, 1, -1)
    assert "belongs to" in refusal(file).message
    with pytest.raises(UnsafeFileError):
        check_owner(file, "it")


# -- symbolic links ----------------------------------------------------------------------------------------------------


def test_links_are_followed_one_by_one(file: Path, tmp_path: Path) -> None:
    (tmp_path / "absolute").symlink_to(file.parent)
    (tmp_path / "above" / "relative").symlink_to("../absolute/../folder/./file")
    assert read_trusted(tmp_path / "above" / "relative", "it") == b"content"


def test_what_stands_behind_a_link_is_looked_at(file: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(file)
    file.parent.chmod(0o777)
    assert str(file.parent) in refusal(tmp_path / "link").message


def test_the_folder_that_a_link_stands_in_is_looked_at(file: Path, tmp_path: Path) -> None:
    """Who can change the link can change what is read."""
    public = tmp_path / "public"
    public.mkdir()
    (public / "link").symlink_to(file)
    public.chmod(0o777)
    assert str(public) in refusal(public / "link").message


def test_somebody_elses_link(file: Path, tmp_path: Path) -> None:
    """As one in /tmp, which is sticky and so good enough for what is one's own."""
    if ME != 0:
        return  # nobody but root can give a link away
    link = tmp_path / "link"
    link.symlink_to(file)
    os.chown(link, SOMEBODY, -1, follow_symlinks=False)
    error = refusal(link)
    subprocess.run(["sh", "-c", error.hint or ""], check=True)
    assert read_trusted(link, "it") == b"content"


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert "too many" in refusal(tmp_path / "loop").message
    (tmp_path / "gone").symlink_to("away/file")
    with pytest.raises(FileNotFoundError):
        read_trusted(tmp_path / "gone", "it")
    assert check_files(tmp_path / "gone", "it") is None


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_what_stands_beside_a_file_counts(file: Path) -> None:
    beside = file.with_name("file-wal")
    beside.touch(0o666)
    beside.chmod(0o666)
    assert check_files(file, "it", ("-shm",))
    with pytest.raises(UnsafeFileError, match="file-wal"):
        check_files(file, "it", ("-shm", "-wal"))


def test_what_is_not_there_yet(tmp_path: Path) -> None:
    assert check_files(tmp_path / "new" / "file", "it", ("-wal",)) is None
    tmp_path.chmod(0o777)
    with pytest.raises(UnsafeFileError):
        check_files(tmp_path / "new" / "file", "it")


def test_a_secret_is_not_for_others_to_read(file: Path) -> None:
    file.chmod(0o644)
    with pytest.raises(UnsafeFileError) as caught:
        read_trusted(file, "it", secret=True)
    subprocess.run(["sh", "-c", caught.value.hint or ""], check=True)
    assert read_trusted(file, "it", secret=True) == b"content"


@pytest.mark.parametrize("look", [check_files, read_trusted])
def test_the_environment_alone_turns_it_off(
    file: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[[Path, str], object]
) -> None:
    file.chmod(0o666)
    for value in ("", "0", "true"):
        monkeypatch.setenv("WAITCTL_ALLOW_UNSAFE_FILES", value)
        with pytest.raises(UnsafeFileError):
            look(file, "it")
    monkeypatch.setenv("WAITCTL_ALLOW_UNSAFE_FILES", "1")
    assert look(file, "it")


def test_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert read_trusted(tmp_path / "pipe", "it") == b""


def test_no_descriptor_is_left_open(file: Path) -> None:
    before = sorted(Path("/dev/fd").iterdir())
    read_trusted(file, "it")
    file.chmod(0o666)
    refusal(file)
    check_files(file.parent / "none", "it")
    assert sorted(Path("/dev/fd").iterdir()) == before


def test_what_is_open(file: Path) -> None:
    status = file.stat()
    assert opened((status.st_dev, status.st_ino)) == 0
    with file.open(), file.open():
        assert opened((status.st_dev, status.st_ino)) == 2
