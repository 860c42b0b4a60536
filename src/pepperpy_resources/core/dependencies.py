"""Which resource types need which others, and the order to start them in.

Pure functions over a mapping of type name -> the names it depends on, in the order the types
were declared. `order` expects neither unknown names nor a cycle: look for those first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Needs = Mapping[str, Iterable[str]]


def unknown(needs: Needs) -> tuple[str, str] | None:
    """Return the first type that depends on an undeclared one, and that one's name."""
    for name, dependencies in needs.items():
        for dependency in dependencies:
            if dependency not in needs:
                return name, dependency
    return None


def cycle(needs: Needs) -> list[str]:
    """Return the types of one cycle, the first of them repeated at the end; empty if none."""
    settled: set[str] = set()
    for start in needs:
        path: dict[str, None] = {start: None}  # from `start` to where we are
        branches = [iter(needs[start])]
        while branches:
            name = next(branches[-1], None)
            if name is None:
                branches.pop()
                settled.add(path.popitem()[0])
            elif name in path:
                names = list(path)
                return [*names[names.index(name) :], name]
            elif name not in settled:
                path[name] = None
                branches.append(iter(needs[name]))
    return []


def order(needs: Needs) -> list[str]:
    """Return the types as declared, but each after all it depends on."""
    return below(needs, needs)


def below(needs: Needs, names: Iterable[str]) -> list[str]:
    """Return these types and all they depend on, however indirectly, each after its own."""
    placed: dict[str, None] = {}
    for wanted in names:
        stack = [wanted]
        while stack:
            name = stack[-1]
            missing = [need for need in needs[name] if need not in placed]
            if missing:
                stack += reversed(missing)
            else:
                placed[stack.pop()] = None
    return list(placed)


def dependents(needs: Needs, name: str) -> list[str]:
    """Return the types that depend on this one directly."""
    return [other for other, dependencies in needs.items() if name in dependencies]
