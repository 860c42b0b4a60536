"""Where the sockets of programs are, and who may have them: their owner alone.

The default place is a folder of the user's own, `pepperpy-resources` in $XDG_RUNTIME_DIR or else
`pepperpy-resources-<uid>` in the folder for temporary files, with one socket for each process,
`<pid>.sock`. A socket appears there only when it is served: it is bound under another name first.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pepperpy_resources.errors import UsageError

NAME = "pepperpy-resources"
SUFFIX = ".sock"
BEING_MADE = "~"  # after the name of a socket that is not served yet
LONGEST = 107 if sys.platform == "linux" else 103  # bytes of a socket's path
BACKLOG = 64
OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def require_sockets() -> None:
    """Raise `UsageError` on a system without Unix-domain sockets."""
    if not hasattr(socket, "AF_UNIX") or not hasattr(os, "geteuid"):
        raise UsageError(
            "looking at a running program needs Unix-domain sockets, which Python does not have on "
            "this system: use manager.tree() inside the program"
        )


def folders() -> Iterator[Path]:
    """Yield where sockets may be, the place for new ones first."""
    uid = os.geteuid()
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    # The other places are for a program that had another environment than whoever looks.
    found = [
        *([Path(runtime) / NAME] if Path(runtime).is_absolute() and Path(runtime).is_dir() else []),
        Path(tempfile.gettempdir()) / f"{NAME}-{uid}",
        Path("/run/user") / str(uid) / NAME,
        Path("/tmp") / f"{NAME}-{uid}",  # noqa: S108 - only if it is the user's own: see `own`
    ]
    yield from dict.fromkeys(found)


def default_path() -> Path:
    """Return the path of this process's socket; its folder is there.

    Raises `UsageError` if somebody else has the folder or may write in it.
    """
    folder = next(folders())
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be made ({error.strerror}): give the path of the socket, as in "
            "inspect(path=...), in a folder that only you may write in"
        ) from error
    return folder / f"{os.getpid()}{SUFFIX}"


def own(folder: Path) -> None:
    """Raise `UsageError` unless it is a folder of this user's that nobody else may write in."""
    try:
        seen = folder.lstat()  # the folder itself: a link could be turned elsewhere meanwhile
    except OSError as error:
        raise UsageError(f"the folder {folder} cannot be used: {error.strerror}") from error
    if stat.S_ISLNK(seen.st_mode):
        problem = "is a symbolic link"
    elif not stat.S_ISDIR(seen.st_mode):
        problem = "is no folder"
    elif seen.st_uid != os.geteuid():
        problem = f"belongs to the user {seen.st_uid}, not to you ({os.geteuid()})"
    elif seen.st_mode & OTHERS_MAY_WRITE:
        problem = f"may be written in by others (mode {stat.S_IMODE(seen.st_mode):o})"
    else:
        return
    raise UsageError(
        f"{folder} {problem}: sockets are kept only in a folder that is yours alone; make one "
        "with mode 700 and give a path in it"
    )


def listen(path: Path) -> socket.socket:
    """Return a listening socket at this path, for its owner alone.

    Raises `UsageError` for a path that is too long, in a folder that is not the owner's alone, or
    taken.
    """
    making = path.with_name(path.name + BEING_MADE)
    size = len(os.fsencode(making))
    if size > LONGEST:
        raise UsageError(
            f"{path} is too long for a socket by {size - LONGEST} bytes: give a path of at most "
            f"{LONGEST - len(BEING_MADE)} bytes"
        )
    own(path.parent)
    refuse_taken(path)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        making.unlink(missing_ok=True)  # of a process that was killed at this very place
        server.bind(os.fspath(making))
        making.chmod(0o600)  # before anybody could connect: it does not listen yet
        server.setblocking(False)
        server.listen(BACKLOG)
        making.rename(path)
    except OSError as error:
        server.close()
        with contextlib.suppress(OSError):
            making.unlink(missing_ok=True)
        raise UsageError(f"no socket can be made at {path}: {error.strerror or error}") from error
    return server


def refuse_taken(path: Path) -> None:
    """Raise `UsageError` if something is at this path that is no forsaken socket."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise UsageError(f"{path} is there already and is no socket: give another path")
    if not is_forsaken(path):
        raise UsageError(f"{path} is the socket of a running program: give another path")


def is_forsaken(path: Path) -> bool:
    """Tell whether nobody listens at this socket any more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        try:
            client.connect(os.fspath(path))
        except ConnectionRefusedError:
            return True
        except OSError:  # among them: so many wait for it that it must be alive
            return False
    return False


def sockets_in(folder: Path) -> list[Path]:
    """Return the sockets of living programs in a folder of ours, and remove the forsaken ones."""
    found: list[Path] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        with contextlib.suppress(FileNotFoundError):  # somebody else was faster
            if not stat.S_ISSOCK(path.lstat().st_mode):
                continue
            if is_forsaken(path):
                path.unlink()
            else:
                found.append(path)
    return found
