"""mutmut over the core, with tests/core as the judge, and the survivors that are explained."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec

from tests.mutants.report import CORE, JOBS, ROOT, say

FILE = ROOT / "tests" / "survivors.toml"
MUTMUT = Path(sys.executable).with_name("mutmut")
HISTORIES = "30"  # random histories a mutant: the examples by hand are to kill it
MEMORY = 4 << 30  # bytes of address space: a mutant that loops may also collect
DEAD = {"killed", "caught by type check", "segfault", "timeout"}


class Survivor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mutant that no test can kill, and why: the lines it takes out and puts in."""

    where: str
    old: str
    new: str
    why: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same mutant, wherever the lines stand in the function."""
        return self.where, self.old, self.new


class Survivors(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    survivor: tuple[Survivor, ...] = ()


def run(only: str) -> list[str]:
    """Mutate the core, or one file of it; return what is wrong, one line each.

    A whole run goes on where the last one ended, and tries again only what survived; a run for
    one file tries everything in it.
    """
    prefix = f"{CORE}.{Path(only).stem}." if only else f"{CORE}."
    explained = {s.key: s.why for s in load(FILE) if f"{CORE}.{s.where}".startswith(prefix)}
    if not mutate(f"{prefix}*" if only else ""):
        return ["by tool: mutmut did not run to its end, see above"]
    if not only and (again := unexplained(prefix, explained)):
        mutate(*again)  # a test may have been written since
    return judge(prefix, explained)


def load(path: Path) -> tuple[Survivor, ...]:
    """Read the file; whatever is wrong in it is msgspec's to say."""
    return msgspec.toml.decode(path.read_text("utf-8"), type=Survivors).survivor


def mutate(*names: str) -> bool:
    """Let mutmut run, its progress on the terminal; tell whether it came to its end."""
    command = [str(MUTMUT), "run", "--max-children", str(JOBS), *filter(None, names)]
    environment = os.environ | {"HISTORIES": HISTORIES}
    bounds = (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1])
    resource.setrlimit(resource.RLIMIT_AS, bounds)  # inherited
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0


def results(prefix: str) -> dict[str, str]:
    """Return every mutant's name and state."""
    pairs = (line.split(": ", 1) for line in ask("results", "--all", "true").splitlines() if line)
    return {name.strip(): state for name, state in pairs if name.strip().startswith(prefix)}


def ask(*arguments: str) -> str:
    """Return what mutmut prints."""
    return subprocess.run(
        [str(MUTMUT), *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


def look(name: str) -> Survivor:
    """Return what a mutant changes."""
    lines = ask("show", name).splitlines()
    taken = [line[1:].strip() for line in lines if line.startswith("-") and line[:4] != "--- "]
    put = [line[1:].strip() for line in lines if line.startswith("+") and line[:4] != "+++ "]
    return Survivor(where_of(name), "\n".join(taken), "\n".join(put))


def where_of(name: str) -> str:
    """Make `pool.Pool.open` of `pepperpy_resources.core.pool.xǁPoolǁopen__mutmut_3`."""
    module, _, mangled = name.removeprefix(f"{CORE}.").partition(".")
    function = mangled.rpartition("__mutmut_")[0]
    return f"{module}.{function.removeprefix('x_').removeprefix('xǁ').replace('ǁ', '.')}"


def unexplained(prefix: str, explained: dict[tuple[str, str, str], str]) -> list[str]:
    """Return the names of the survivors that nobody has explained."""
    alive = [name for name, state in results(prefix).items() if state not in DEAD]
    return [name for name in alive if look(name).key not in explained]


def judge(prefix: str, explained: dict[tuple[str, str, str], str]) -> list[str]:
    """Compare what survived with what is explained."""
    states = results(prefix)
    complaints: list[str] = []
    # Slow and equivalent may be taken for endless, so a timeout uses up an explanation as well.
    seen = {look(name).key for name, state in states.items() if state == "timeout"}
    known = 0
    for name in (name for name, state in states.items() if state not in DEAD):
        survivor = look(name)
        seen.add(survivor.key)
        if explained.get(survivor.key):
            known += 1
            continue
        complaints.append(f"{states[name]}: {name}")
        say(f"\n# {states[name]}: {name}\n[[survivor]]", *told(survivor))
    complaints += [
        f"explained, but killed or gone: {' '.join(key)}" for key in explained if key not in seen
    ]
    figures = ", ".join(f"{count} {state}" for state, count in Counter(states.values()).items())
    say(f"by tool: {len(states)} mutants: {figures}; {known} of those alive are explained")
    return complaints


def told(survivor: Survivor) -> list[str]:
    """Return the lines to copy into the file, once the reason is known."""
    values = {"where": survivor.where, "old": survivor.old, "new": survivor.new, "why": ""}
    return [f"{name} = {quoted(value)}" for name, value in values.items()]


def quoted(text: str) -> str:
    """Write a TOML string that needs no escapes where it can."""
    if "\n" in text:
        return f"'''\n{text}'''"
    return f'"{text}"' if '"' not in text else f"'{text}'"
