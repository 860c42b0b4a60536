"""Real data every machine has: the interpreter's own standard library, read and parsed.

Two things come out of one reading: the rows that go into the database file, and the oracle, which
is the right answer to every question the demo may ask. The oracle is computed from the sources in
plain Python and never from the database, so that a wrong row, a wrong query and a mixed-up
connection all show as a wrong answer.
"""

from __future__ import annotations

import ast
import io
import sysconfig
import tokenize
import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

# Words to look for in the text of every file. Looking for one reads the whole database: these are
# the slow queries, which is what a borrower must be in the middle of to be cancelled in mid-query.
WORDS = (
    "async def",
    "lambda",
    "sqlite3",
    "threading",
    "subprocess",
    "yield",
    "metaclass",
    "weakref",
)

LONGEST = 3  # how many definitions the question "longest" asks for

# Read last, and left out first when the machine is slow: large, and least like a program.
_LAST = frozenset({"idlelib", "lib2to3", "test"})
_NOT_THE_LIBRARY = frozenset({"site-packages", "dist-packages", "__pycache__"})


class Definition(NamedTuple):
    """One top-level function or class."""

    name: str
    kind: str
    line: int
    end_line: int


class SourceFile(NamedTuple):
    """One source file: where it is, how large it is, its text and what it defines."""

    path: str
    package: str
    lines: int
    size: int
    text: str
    definitions: tuple[Definition, ...]


class Question(NamedTuple):
    """One thing to ask the database: which query, and about what."""

    kind: str
    subject: str


Row = tuple[str | int, ...]
Answer = tuple[Row, ...]
Oracle = dict[Question, Answer]


@dataclass(frozen=True)
class Corpus:
    """What was read, and what was not."""

    root: Path
    files: tuple[SourceFile, ...]
    unreadable: int  # files that are no Python on purpose: the test suite has some
    left_out: int  # files not read because the time given for reading was over
    seconds: float

    @property
    def size(self) -> int:
        """Bytes of source text."""
        return sum(file.size for file in self.files)

    @property
    def definition_count(self) -> int:
        """Top-level functions and classes of all files."""
        return sum(len(file.definitions) for file in self.files)


def library_root() -> Path:
    """Return the folder of the running interpreter's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def find_sources(root: Path, packages: Collection[str] = ()) -> list[Path]:
    """Return the source files under `root`, those of the test suite last.

    `packages` keeps only these top-level modules and packages; empty keeps all.
    """
    found = [
        path
        for path in root.rglob("*.py")
        if not _NOT_THE_LIBRARY.intersection(path.relative_to(root).parts)
        and (not packages or package_of(path.relative_to(root)) in packages)
    ]
    return sorted(found, key=lambda path: (package_of(path.relative_to(root)) in _LAST, path))


def package_of(relative: Path) -> str:
    """Return the name of the top-level package or module that a file belongs to."""
    return relative.stem if len(relative.parts) == 1 else relative.parts[0]


def parse_source(relative: Path, source: bytes) -> SourceFile | None:
    """Return what one file contains, or None when it is no Python of this version."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes of others are none of our business
            module = ast.parse(source)
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        text = source.decode(encoding)
    except (SyntaxError, ValueError):  # ValueError: null bytes, text that does not decode
        return None
    return SourceFile(
        path=relative.as_posix(),
        package=package_of(relative),
        lines=text.count("\n"),
        size=len(source),
        text=text,
        definitions=tuple(_definitions(module)),
    )


def _definitions(module: ast.Module) -> Iterable[Definition]:
    kinds = {
        ast.FunctionDef: "function",
        ast.AsyncFunctionDef: "async function",
        ast.ClassDef: "class",
    }
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            end = node.end_lineno or node.lineno
            yield Definition(node.name, kinds[type(node)], node.lineno, end)


def read_corpus(
    root: Path,
    paths: Sequence[Path],
    *,
    now: Callable[[], float],
    budget: float,
    on_progress: Callable[[int, int], None],
) -> Corpus:
    """Read and parse `paths`, for at most `budget` seconds of the clock `now`.

    `on_progress` is called after each file with the number of files done and of all.
    """
    started = now()
    files: list[SourceFile] = []
    done = 0
    for path in paths:
        if now() - started >= budget:
            break
        parsed = parse_source(path.relative_to(root), path.read_bytes())
        if parsed is not None:
            files.append(parsed)
        done += 1
        on_progress(done, len(paths))
    return Corpus(root, tuple(files), done - len(files), len(paths) - done, now() - started)


def build_oracle(files: Sequence[SourceFile]) -> Oracle:
    """Return the right answer to every question there is, computed from the sources alone."""
    oracle: Oracle = {}
    packages: defaultdict[str, list[SourceFile]] = defaultdict(list)
    places: defaultdict[str, list[Row]] = defaultdict(list)
    for file in sorted(files, key=lambda file: file.path):
        oracle[Question("file", file.path)] = ((file.lines, file.size, len(file.definitions)),)
        oracle[Question("outline", file.path)] = tuple(
            (item.line, item.kind, item.name) for item in file.definitions
        )
        packages[file.package].append(file)
        for item in file.definitions:
            places[item.name].append((file.path, item.line))
    for name, where in places.items():
        oracle[Question("definition", name)] = tuple(where)
    for package, members in packages.items():
        oracle[Question("package", package)] = (_totals(members),)
        oracle[Question("longest", package)] = _longest(members)
    for word in WORDS:
        oracle[Question("mentions", word)] = ((sum(word in file.text for file in files),),)
    return oracle


def _totals(members: Sequence[SourceFile]) -> Row:
    definitions = sum(len(file.definitions) for file in members)
    return len(members), sum(file.lines for file in members), definitions


def _longest(members: Sequence[SourceFile]) -> Answer:
    ranked = sorted(
        (-(item.end_line - item.line + 1), file.path, item.line, item.name)
        for file in members
        for item in file.definitions
    )
    return tuple((name, path, -length) for length, path, _, name in ranked[:LONGEST])
