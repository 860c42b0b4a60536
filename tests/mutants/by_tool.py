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
STATS = ROOT / "mutants" / "mutmut-stats.json"  # mutmut's: which test runs which function
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


class Kind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A way of changing a line that cannot make a difference, wherever it survives."""

    old: str
    new: str
    why: str

    def covers(self, survivor: Survivor) -> bool:
        """Tell whether this one word is all that the mutant changes."""
        parts = survivor.old.split(self.old)
        return any(
            self.old.join(parts[:n]) + self.new + self.old.join(parts[n:]) == survivor.new
            for n in range(1, len(parts))
        )


class Survivors(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    kind: tuple[Kind, ...] = ()
    survivor: tuple[Survivor, ...] = ()

    def explain(self, survivor: Survivor) -> bool:
        """Tell whether there is a reason why it survives."""
        if any(kind.covers(survivor) for kind in self.kind):
            return True
        return any(known.why for known in self.survivor if known.key == survivor.key)


def run(only: str) -> list[str]:
    """Mutate the core, or one file of it; return what is wrong, one line each.

    A whole run goes on where the last one ended, and tries again only what survived; a run for
    one file tries everything in it.
    """
    prefix = f"{CORE}.{Path(only).stem}." if only else f"{CORE}."
    known = load(FILE)
    if only:
        STATS.unlink(missing_ok=True)
    if not mutate(f"{prefix}*" if only else ""):
        return ["by tool: mutmut did not run to its end, see above"]
    if not only and (again := unexplained(prefix, known)):
        # A test may have been written since, and an old one may run a function that is new, which
        # mutmut does not notice.
        STATS.unlink(missing_ok=True)
        mutate(*again)
    return judge(prefix, known)


def load(path: Path) -> Survivors:
    """Read the file; whatever is wrong in it is msgspec's to say."""
    return msgspec.toml.decode(path.read_text("utf-8"), type=Survivors)


def mutate(*names: str) -> bool:
    """Let mutmut run, its progress on the terminal; tell whether it came to its end."""
    command = [str(MUTMUT), "run", "--max-children", str(JOBS), *filter(None, names)]
    environment = os.environ | {"HISTORIES": HISTORIES, "UNSHRUNK": "yes"}
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


def unexplained(prefix: str, known: Survivors) -> list[str]:
    """Return the names of the survivors that nobody has explained."""
    alive = [name for name, state in results(prefix).items() if state not in DEAD]
    return [name for name in alive if not known.explain(look(name))]


def judge(prefix: str, known: Survivors) -> list[str]:
    """Compare what survived with what is explained."""
    states = results(prefix)
    complaints: list[str] = []
    # Slow and equivalent may be taken for endless, so a timeout uses up an explanation as well.
    seen = {look(name).key for name, state in states.items() if state == "timeout"}
    explained = 0
    for name in (name for name, state in states.items() if state not in DEAD):
        survivor = look(name)
        seen.add(survivor.key)
        if known.explain(survivor):
            explained += 1
            continue
        complaints.append(f"{states[name]}: {name}")
        say(f"\n# {states[name]}: {name}\n[[survivor]]", *told(survivor))
    complaints += [
        f"explained, but killed or gone: {' '.join(entry.key)}"
        for entry in known.survivor
        if entry.key not in seen and f"{CORE}.{entry.where}".startswith(prefix)
    ]
    figures = ", ".join(f"{count} {state}" for state, count in Counter(states.values()).items())
    say(f"by tool: {len(states)} mutants: {figures}; {explained} of those alive are explained")
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
