"""Whose folders and sockets are used: one's own alone. Forsaken sockets are taken over."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pepperpy_resources.errors import UsageError
from pepperpy_resources.observe import sockets
from pepperpy_resources.observe.sockets import (
    default_path,
    folders,
    is_forsaken,
    listen,
    own,
    require_sockets,
    sockets_in,
)
from tests.observe.looking import short_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def forsaken(path: Path) -> Path:
    """Leave a socket behind as a killed process does."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
    return path


# -- where


def test_the_first_place_is_the_runtime_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    assert default_path() == folder / "pepperpy-resources" / f"{os.getpid()}.sock"
    assert mode(folder / "pepperpy-resources") == 0o700
    assert default_path().parent.is_dir()  # a second time it is there already


@pytest.mark.parametrize("runtime", [None, "", "relative", "/no/such/folder"])
def test_else_it_is_a_folder_of_the_user_s_among_the_temporary_files(
    runtime: str | None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    if runtime is not None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    uid = os.geteuid()
    assert default_path() == folder / f"pepperpy-resources-{uid}" / f"{os.getpid()}.sock"
    assert list(folders()) == [
        folder / f"pepperpy-resources-{uid}",
        Path(f"/run/user/{uid}/pepperpy-resources"),
        Path(f"/tmp/pepperpy-resources-{uid}"),
    ]


def test_no_place_is_looked_at_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    assert len(list(folders())) == 2


def test_a_folder_that_cannot_be_made_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").touch()
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(folder / "file"))
    with pytest.raises(UsageError, match=r"cannot be made \(Not a directory\): give the path"):
        default_path()


# -- whose


def test_a_socket_is_its_owner_s_alone(folder: Path) -> None:
    path = folder / "s"
    umask = os.umask(0)
    try:
        server = listen(path)
    finally:
        os.umask(umask)
    with server:
        assert mode(path) == 0o600
        assert stat.S_ISSOCK(path.lstat().st_mode)
        assert [each.name for each in folder.iterdir()] == ["s"]  # nothing else is left


def test_it_is_its_owner_s_alone_before_anybody_could_connect(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []

    class Watched(socket.socket):
        def listen(self, backlog: int = 0) -> None:
            seen.extend((each.name, mode(each)) for each in folder.iterdir())
            super().listen(backlog)

    monkeypatch.setattr(socket, "socket", Watched)
    listen(folder / "s").close()
    assert seen == [("s~", 0o600)]  # and under another name


@pytest.mark.parametrize("bits", [0o770, 0o707, 0o777, 0o1777])
def test_a_folder_that_others_may_write_in_is_refused(folder: Path, bits: int) -> None:
    folder.chmod(bits)
    with pytest.raises(UsageError, match=rf"may be written in by others \(mode {bits:o}\)"):
        listen(folder / "s")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("bits", [0o700, 0o755])
def test_a_folder_that_others_may_at_most_read_is_fine(folder: Path, bits: int) -> None:
    folder.chmod(bits)
    own(folder)


def test_a_folder_of_somebody_else_is_refused(folder: Path) -> None:
    foreign = Path("/")
    if os.geteuid() == 0:
        os.chown(folder, 12345, -1)
        foreign = folder
    with pytest.raises(UsageError, match=r"belongs to the user \d+, not to you \(\d+\)"):
        own(foreign)


def test_a_link_to_a_folder_is_refused(folder: Path) -> None:
    """Somebody else's link in /tmp could point elsewhere a moment later."""
    (folder / "real").mkdir(mode=0o700)
    (folder / "link").symlink_to(folder / "real")
    with pytest.raises(UsageError, match="is a symbolic link"):
        listen(folder / "link" / "s")


def test_a_file_and_nothing_are_no_folders(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(UsageError, match="is no folder"):
        own(folder / "file")
    with pytest.raises(UsageError, match="cannot be used: No such file"):
        listen(folder / "nosuch" / "s")


# -- what is there already


def test_a_forsaken_socket_is_taken_over(folder: Path) -> None:
    path = forsaken(folder / "s")
    assert is_forsaken(path)
    with listen(path):
        assert not is_forsaken(path)


def test_the_leftover_of_one_killed_at_the_wrong_moment_does_not_matter(folder: Path) -> None:
    forsaken(folder / "s~")
    with listen(folder / "s"):
        assert [each.name for each in folder.iterdir()] == ["s"]


def test_a_living_socket_is_left_alone(folder: Path) -> None:
    path = folder / "s"
    with listen(path) as server:
        with pytest.raises(UsageError, match="is the socket of a running program"):
            listen(path)
        server.accept()[0].close()  # that was the other asking whether anybody is there
        assert not is_forsaken(path)


def test_a_socket_that_is_too_busy_to_take_one_more_is_alive(folder: Path) -> None:
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as waiting:
        server.bind(str(path))
        server.listen(0)
        waiting.connect(str(path))
        assert not is_forsaken(path)


def test_a_file_is_not_overwritten(folder: Path) -> None:
    (folder / "s").write_text("precious")
    with pytest.raises(UsageError, match="is there already and is no socket"):
        listen(folder / "s")
    assert (folder / "s").read_text() == "precious"


def test_of_a_folder_the_forsaken_are_removed_and_the_living_returned(folder: Path) -> None:
    forsaken(folder / "1.sock")
    (folder / "2.sock").write_text("no socket")
    forsaken(folder / "other")
    with listen(folder / "4.sock"), listen(folder / "3.sock"):
        assert sockets_in(folder) == [folder / "3.sock", folder / "4.sock"]
    left = sorted(each.name for each in folder.iterdir())
    assert left == ["2.sock", "3.sock", "4.sock", "other"]
    assert sockets_in(folder / "nosuch") == []


# -- what cannot be


def test_what_the_system_refuses_is_said(folder: Path) -> None:
    (folder / "s~").mkdir()  # where the socket is made
    with pytest.raises(UsageError, match=rf"^no socket can be made at {folder}/s: \w"):
        listen(folder / "s")
    assert [each.name for each in folder.iterdir()] == ["s~"]


def test_a_path_that_is_too_long_says_how_long_it_may_be(folder: Path) -> None:
    limit = sockets.LONGEST - 1  # the name it is made under is one longer
    longest = folder / ("x" * (limit - len(str(folder)) - 1))
    listen(longest).close()
    with pytest.raises(UsageError) as refused:
        listen(longest.with_name(longest.name + "ü"))
    assert re.search(
        rf"is too long for a socket by 2 bytes: give a path of at most {limit} bytes",
        str(refused.value),
    )


@pytest.mark.parametrize(("module", "name"), [(socket, "AF_UNIX"), (os, "geteuid")])
def test_a_system_without_such_sockets_is_said(
    module: object, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_sockets()
    monkeypatch.delattr(module, name)
    with pytest.raises(UsageError, match=r"Unix-domain sockets.*use manager.tree\(\) inside"):
        require_sockets()
