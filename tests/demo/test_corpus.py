"""Reading sources and computing the oracle, on a library of three small files."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pepperpy_resources.demo.corpus import (
    WORDS,
    Corpus,
    Definition,
    Question,
    build_oracle,
    find_sources,
    library_root,
    parse_source,
    read_corpus,
)

ZOO = """\
import threading

class Lion:
    def roar(self): ...

async def feed():
    await roar()

def main(): pass
"""
KEEPER = """\
def main():
    x = lambda: 1
    return x

@property
def late():
    pass
"""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    sources = {
        "zoo.py": ZOO.encode(),
        "farm/keeper.py": KEEPER.encode(),
        "farm/empty.py": b"",
    }
    for name, source in sources.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(source)
    return tmp_path


def read(root: Path) -> Corpus:
    return read_corpus(
        root,
        find_sources(root),
        now=lambda: 0.0,
        budget=1.0,
        on_progress=lambda _done, _total: None,
    )


def test_a_source_file_is_described_by_its_path_size_and_definitions() -> None:
    parsed = parse_source(Path("zoo.py"), ZOO.encode())
    assert parsed is not None
    assert (parsed.path, parsed.package, parsed.lines, parsed.size) == (
        "zoo.py",
        "zoo",
        9,
        len(ZOO),
    )
    assert parsed.definitions == (
        Definition("Lion", "class", 3, 4),
        Definition("feed", "async function", 6, 7),
        Definition("main", "function", 9, 9),
    )


def test_the_package_of_a_file_is_the_top_level_one() -> None:
    parsed = parse_source(Path("farm/barn/hay.py"), b"")
    assert parsed is not None
    assert (parsed.path, parsed.package) == ("farm/barn/hay.py", "farm")


def test_the_text_is_decoded_as_the_file_says() -> None:
    parsed = parse_source(Path("a.py"), "# coding: latin-1\nx = 'é'\n".encode("latin-1"))
    assert parsed is not None
    assert parsed.text == "# coding: latin-1\nx = 'é'\n"


@pytest.mark.parametrize("source", [b"def (", b"x = '\xff'\n", b"a\0b", b"# coding: nonsense\n"])
def test_what_is_no_python_is_left_out(source: bytes) -> None:
    assert parse_source(Path("bad.py"), source) is None


def test_a_warning_in_a_source_is_not_ours() -> None:
    source = b"x = '\\d'\n"
    with pytest.warns((DeprecationWarning, SyntaxWarning), match="invalid escape"):
        ast.parse(source)
    assert parse_source(Path("escapes.py"), source) is not None


def test_sources_are_found_with_the_test_suite_last_and_no_installed_packages(
    tmp_path: Path,
) -> None:
    names = ["test/a.py", "site-packages/b.py", "zoo.py", "asyncio/c.py", "d.txt", "idlelib/e.py"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_sources(tmp_path)]
    assert found == ["asyncio/c.py", "zoo.py", "idlelib/e.py", "test/a.py"]


def test_only_the_packages_named_are_found(library: Path) -> None:
    assert find_sources(library, ["zoo"]) == [library / "zoo.py"]


def test_reading_counts_what_it_took_and_what_it_could_not_read(library: Path) -> None:
    (library / "bad.py").write_text("def (")
    seen: list[tuple[int, int]] = []
    corpus = read_corpus(
        library,
        find_sources(library),
        now=lambda: 0.0,
        budget=1.0,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert [file.path for file in corpus.files] == ["farm/empty.py", "farm/keeper.py", "zoo.py"]
    assert (corpus.unreadable, corpus.left_out) == (1, 0)
    assert (corpus.size, corpus.definition_count) == (len(ZOO) + len(KEEPER), 5)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_reading_ends_when_its_time_is_over(library: Path) -> None:
    clock: Iterator[float] = iter([0.0, 0.0, 4.0, 10.0, 11.0])  # start, one per file, end
    corpus = read_corpus(
        library,
        find_sources(library),
        now=lambda: next(clock),
        budget=10.0,
        on_progress=lambda _done, _total: None,
    )
    assert (len(corpus.files), corpus.left_out, corpus.seconds) == (2, 1, 11.0)


def test_the_oracle_knows_every_answer(library: Path) -> None:
    oracle = build_oracle(read(library).files)
    size = len(KEEPER)
    expected = {
        Question("file", "zoo.py"): ((9, len(ZOO), 3),),
        Question("file", "farm/keeper.py"): ((7, size, 2),),
        Question("file", "farm/empty.py"): ((0, 0, 0),),
        Question("outline", "zoo.py"): (
            (3, "class", "Lion"),
            (6, "async function", "feed"),
            (9, "function", "main"),
        ),
        Question("outline", "farm/keeper.py"): ((1, "function", "main"), (6, "function", "late")),
        Question("outline", "farm/empty.py"): (),
        Question("definition", "Lion"): (("zoo.py", 3),),
        Question("definition", "feed"): (("zoo.py", 6),),
        Question("definition", "main"): (("farm/keeper.py", 1), ("zoo.py", 9)),
        Question("definition", "late"): (("farm/keeper.py", 6),),
        Question("package", "farm"): ((2, 7, 2),),
        Question("package", "zoo"): ((1, 9, 3),),
        Question("longest", "farm"): (("main", "farm/keeper.py", 3), ("late", "farm/keeper.py", 2)),
        # As long as each other: then by path and line.
        Question("longest", "zoo"): (
            ("Lion", "zoo.py", 2),
            ("feed", "zoo.py", 2),
            ("main", "zoo.py", 1),
        ),
        **{Question("mentions", word): ((0,),) for word in WORDS},
        Question("mentions", "async def"): ((1,),),
        Question("mentions", "lambda"): ((1,),),
        Question("mentions", "threading"): ((1,),),
    }
    assert oracle == expected


def test_the_standard_library_of_this_interpreter_is_found() -> None:
    assert library_root() / "json" / "__init__.py" == Path(json.__file__)
