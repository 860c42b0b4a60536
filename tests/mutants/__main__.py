"""`make mutants`: is every rule guarded by a test that turns red without it?

`python -m tests.mutants [END]`: END is how the path of the one file to mutate ends, such as
`core/queueing.py`; without it, everything. JOBS (the cores) processes work at once.
"""

from __future__ import annotations

import sys

from tests.mutants import by_hand, by_tool
from tests.mutants.report import ROOT, say

CORE = "src/pepperpy_resources/core"


def main(only: str) -> int:
    """Run both halves; 0 is: every mutation was noticed, or is explained."""
    if only and not any(str(path).endswith(only) for path in ROOT.glob("src/**/*.py")):
        say(f"error: no file under src ends with {only!r}; write, say, ONLY=core/queueing.py")
        return 2
    complaints = by_hand.run(only)
    if not only or any(str(path).endswith(only) for path in ROOT.glob(f"{CORE}/*.py")):
        complaints += by_tool.run(only)
    if complaints:
        say("", f"{len(complaints)} to mend:", *complaints)
    return 1 if complaints else 0


sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
