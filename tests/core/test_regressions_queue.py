"""What the random histories have found, each as the shortest story that shows it."""

from __future__ import annotations

from pepperpy_resources.core import events as on
from tests.core.rig import Rig


def test_a_hook_that_hangs_takes_no_permit() -> None:
    """Abandoned, it does not count; nor may it keep a type of one permit from opening."""
    rig = Rig(max_size=3, budgeted=True, create_timeout=1.0, acquire_timeout=60.0)
    rig.send(on.Allot(1))
    rig.acquire("db:a")
    assert rig.tick(1.0)[:3] == ["abandon 1", "report 1", "open 2"]
