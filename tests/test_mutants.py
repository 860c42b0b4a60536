"""`make mutants` itself: when a guard counts as guarded, and a survivor as explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants import by_hand, by_tool
from tests.mutants.by_tool import Kind, Survivor, Survivors

CODE = "def double(n: int) -> int:\n    return n + n\n"
TEST = "from thing import double\ndef test_it() -> None:\n    assert double(2) == 4\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "thing.py").write_text(CODE)
    (tmp_path / "test_thing.py").write_text(TEST)
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("n + n", "n + 1", ""),  # 3: red
        ("n + n", "n * n", "STILL GREEN"),  # 4 all the same
        ("n + m", "n", "`old` found 0 times"),
        ("int", "str", "`old` found 2 times"),
        ("return n", "return (n", "pytest could not judge (it ended with 2)"),  # is no Python
    ],
)
def test_a_guard_counts_only_if_its_loss_turns_a_test_red(
    tree: Path, old: str, new: str, told: str
) -> None:
    mutation = by_hand.Mutation(1, "why", "src/thing.py", old, new, ("test_thing.py",))
    path = tree / mutation.file
    assert by_hand.mutated(tree, path, mutation) == told
    assert path.read_text() == CODE


def test_the_copies_have_the_project_and_not_its_litter() -> None:
    with by_hand.trees(1) as free:
        tree = free.get()
        assert (tree / "tests" / "mutants" / "by_hand.py").is_file()
        assert (tree / "src").is_dir()
        assert not any((tree / name).exists() for name in (".git", ".venv", "mutants"))


def test_where_a_mutant_is() -> None:
    assert (
        by_tool.where_of("pepperpy_resources.core.pool.xǁPoolǁopen__mutmut_3") == "pool.Pool.open"
    )
    assert by_tool.where_of("pepperpy_resources.core.settle.x_may_open__mutmut_12") == (
        "settle.may_open"
    )


@pytest.mark.parametrize(
    ("old", "new", "covered"),
    [
        ("x = False", "x = None", True),
        ("f(a=False, b=False)", "f(a=False, b=None)", True),
        ("f(a=False, b=False)", "f(a=None, b=None)", False),
        ("x = False", "y = None", False),
        ("x = True", "x = None", False),
        ("x = True", "x = True", False),
    ],
)
def test_a_kind_covers_one_change_of_its_word_alone(old: str, new: str, *, covered: bool) -> None:
    assert Kind("False", "None", "why").covers(Survivor("a.b", old, new)) is covered


def test_a_survivor_needs_a_reason() -> None:
    mutant = Survivor("a.b", "x", "y")
    known = Survivors(survivor=(Survivor("a.b", "x", "y", "why"),))
    assert known.explain(mutant)
    assert not known.explain(Survivor("a.c", "x", "y"))
    assert not Survivors(survivor=(Survivor("a.b", "x", "y", ""),)).explain(mutant)


def test_every_reason_in_the_file_is_given() -> None:
    known = by_tool.load(by_tool.FILE)
    assert all(kind.why for kind in known.kind)
    assert all(entry.why for entry in known.survivor)
    assert len({entry.key for entry in known.survivor}) == len(known.survivor)
