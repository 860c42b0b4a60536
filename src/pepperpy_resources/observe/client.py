"""Looking at running programs from outside: finds their sockets and asks them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec

from pepperpy_resources.errors import NoView, UsageError
from pepperpy_resources.observe.sockets import folders, own, require_sockets, sockets_in
from pepperpy_resources.observe.view import VERSION, Refusal, View

DEADLINE = 5.0  # seconds a program has to answer
REQUEST = b'{"get":"tree"}\n'
CHUNK = 1 << 16


class Version(msgspec.Struct):
    """What every version of a view has."""

    version: int


def look(target: str | None = None) -> View:
    """Return what a program shows of itself: by its process id, by a socket's path, the only one.

    Raises `NoView` where there is none, more than one, or no answer; `UsageError` where a folder of
    sockets is not this user's alone, or the system has no Unix-domain sockets.
    """
    require_sockets()
    path = find(target)
    try:
        answer = ask(path)
    except TimeoutError:
        raise NoView(
            f"the program at {path} did not answer within {DEADLINE:g} s: it is stopped, or "
            "something in it holds the interpreter's lock"
        ) from None
    except PermissionError:
        raise NoView(
            f"permission denied: {path} belongs to another user, who alone may look"
        ) from None
    except OSError as error:
        raise NoView(f"no program answers at {path}: {error.strerror or error}") from None
    return decoded(answer, path)


def find(target: str | None) -> Path:
    """Return the socket that is meant; raises `NoView`, and `UsageError` as `programs` does."""
    if target is not None and not target.isdecimal():
        return Path(target)
    found = programs()
    there = ", ".join(path.stem for path in found) or "none"
    if target is not None:
        for path in found:
            if path.stem == target:
                return path
        raise NoView(f"no program {target} can be looked at; those that can: {there}")
    if not found:
        raise NoView("no program can be looked at: call manager.inspect() in the one you mean")
    if len(found) > 1:
        raise NoView(f"several programs can be looked at: {there}; name one of them")
    return found[0]


def programs() -> list[Path]:
    """Return the sockets of the programs that this user can look at.

    Raises `UsageError` if there is none but a folder where they might be is not the user's alone.
    """
    found: list[Path] = []
    refused: UsageError | None = None
    for folder in filter(Path.is_dir, folders()):
        try:
            own(folder)
        except UsageError as error:
            refused = error
        else:
            found += sockets_in(folder)
    if refused is not None and not found:
        raise refused
    return found


def ask(path: Path) -> bytes:
    """Return a program's answer; raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(DEADLINE)
        client.connect(os.fspath(path))
        client.sendall(REQUEST)
        chunks: list[bytes] = []
        while chunk := client.recv(CHUNK):
            chunks.append(chunk)
    return b"".join(chunks)


def decoded(answer: bytes, path: Path) -> View:
    """Return the view that was sent; raises `NoView` for anything else."""
    try:
        version = msgspec.json.decode(answer, type=Version).version
        if version == VERSION:
            return msgspec.json.decode(answer, type=View)
        problem = f"it speaks version {version} of the protocol, this command {VERSION}"
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = refusal(answer)
    raise NoView(f"the program at {path} cannot be looked at: {problem}")


def refusal(answer: bytes) -> str:
    """Return what was answered instead of a view."""
    if not answer:
        return "it hung up: too many look at it, or it ends"
    try:
        return msgspec.json.decode(answer, type=Refusal).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "it is not one of pepperpy-resources"
