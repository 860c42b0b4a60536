"""The guards of tests/mutations.toml: each is removed in a copy, and its tests must turn red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import msgspec

from tests.mutants.report import JOBS, ROOT, say

FILE = ROOT / "tests" / "mutations.toml"
LIMIT = 300.0  # seconds for the tests of one mutation; a guard whose loss hangs them is guarded
GREEN, RED = 0, 1  # how pytest ends; anything else says that it could not judge
NEVER_COPIED = ("*.egg-info", "__pycache__", "build", "dist", "mutants", ".[!c]*")  # .ci is


class Mutation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One guard and its loss."""

    case: int
    why: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


class Mutations(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    mutation: tuple[Mutation, ...] = ()


def run(only: str) -> list[str]:
    """Try every mutation of the files whose path ends so; return what is wrong, one line each."""
    mutations = [m for m in load(FILE) if m.file.endswith(only)] if FILE.is_file() else []
    if not mutations:
        say(f"by hand: none for {only or FILE.name}")
        return []
    with trees(JOBS) as free, ThreadPoolExecutor(JOBS) as pool:
        complaints = whole(free, mutations)
        if not complaints:
            complaints = [line for line in pool.map(lambda m: judge(free, m), mutations) if line]
    say(f"by hand: {len(mutations)} mutations, {len(complaints)} complaints")
    return complaints


def load(path: Path) -> tuple[Mutation, ...]:
    """Read the file; whatever is wrong in it is msgspec's to say."""
    return msgspec.toml.decode(path.read_text("utf-8"), type=Mutations).mutation


@contextmanager
def trees(count: int) -> Iterator[SimpleQueue[Path]]:
    """Lend copies of the project, so that the work tree is never touched."""
    free: SimpleQueue[Path] = SimpleQueue()
    with tempfile.TemporaryDirectory() as away:
        for number in range(count):
            tree = Path(away, str(number))
            # `mutants` is what the tool makes in the root, not the package of tests.
            shutil.copytree(ROOT, tree, ignore=ignored)
            free.put(tree)
        yield free


def ignored(folder: str, names: list[str]) -> set[str]:
    """Say what a copy does without."""
    patterns = NEVER_COPIED if Path(folder) == ROOT else NEVER_COPIED[:2]
    return shutil.ignore_patterns(*patterns)(folder, names)


def whole(free: SimpleQueue[Path], mutations: list[Mutation]) -> list[str]:
    """Run all the tests without any mutation: a test that is red anyway proves nothing."""
    tree = free.get()
    try:
        tests = sorted({test for mutation in mutations for test in mutation.tests})
        say(f"by hand: {len(tests)} tests as they are")
        if verdict(tree, tests) != GREEN:
            return ["by hand: the named tests do not pass, or do not exist, without a mutation"]
        return []
    finally:
        free.put(tree)


def judge(free: SimpleQueue[Path], mutation: Mutation) -> str:
    """Apply one mutation in a copy and run its tests; return what is wrong, or nothing."""
    name = f"case {mutation.case}, {mutation.file}: {mutation.why}"
    tree = free.get()
    path = tree / mutation.file
    try:
        complaint = "no such file"
        if path.is_file():
            complaint = mutated(tree, path, mutation)
    finally:
        free.put(tree)
    say(f"{complaint or 'red'}: {name}")
    return f"{complaint}: {name}" if complaint else ""


def mutated(tree: Path, path: Path, mutation: Mutation) -> str:
    """Return what is wrong with the mutation of this file, or nothing."""
    text = path.read_text("utf-8")
    found = text.count(mutation.old)
    if found != 1:
        return f"`old` found {found} times"
    path.write_text(text.replace(mutation.old, mutation.new), "utf-8")
    try:
        code = verdict(tree, mutation.tests)
    finally:
        path.write_text(text, "utf-8")
    if code == GREEN:
        return "STILL GREEN"
    return "" if code == RED else f"pytest could not judge (it ended with {code})"


def verdict(tree: Path, tests: tuple[str, ...] | list[str]) -> int:
    """Return how pytest ended in that tree."""
    # No byte code: a mutation of the same length within the same second would not be noticed.
    environment = os.environ | {"PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-xq", "-p", "no:cacheprovider", *tests]
    try:
        return subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, check=False, timeout=LIMIT
        ).returncode
    except subprocess.TimeoutExpired:
        return RED
