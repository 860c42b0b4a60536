"""Every case of supervision has a test of its number, every rule of the docs names its tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
CASES = 78


def names_of_tests() -> set[str]:
    """Return the names of all tests there are."""
    found: set[str] = set()
    for file in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
                "test_"
            ):
                found.add(node.name)
    return found


def test_every_case_has_a_test_named_by_its_number() -> None:
    numbers = {int(name[5:7]) for name in names_of_tests() if re.match(r"test_\d\d_", name)}
    assert numbers == set(range(1, CASES + 1))


def test_the_last_column_of_the_table_of_rules_names_tests_that_are_there() -> None:
    text = (ROOT / "docs" / "supervision.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    (head,) = [n for n, row in enumerate(rows) if row[-1] == "ours"]
    rules = [row for row in rows[head + 1 :] if not set(row[0]) <= {"-", " ", "|"}]
    assert len(rules) > 30
    names = names_of_tests()
    for rule in rules:
        assert len(rule) == 6, rule
        told = re.findall(r"`(test_\w+)`", rule[-1])
        assert told, f"no test is named for {rule[0]!r}"
        assert set(told) <= names, f"{rule[0]!r}: {set(told) - names}"
