"""What the random histories have found, each as the shortest story that shows it."""

from __future__ import annotations

from pepperpy_resources.core import events as on
from tests.core.rig import Rig


def test_a_hook_that_hangs_takes_no_permit() -> None:
    """Abandoned, it does not count; nor may it keep a type of one permit from opening."""
    rig = Rig(max_size=3, budgeted=True, create_timeout=1.0, acquire_timeout=60.0)
    rig.send(on.Allot(1))
    rig.acquire("db:a")
    assert rig.tick(1.0)[0] == "abandon 1"
    assert "open 2" in rig.tick(2.0)  # the backoff is over


def test_a_type_full_of_hooks_that_hang_asks_for_no_permit() -> None:
    """It opens nothing then, and others could use the permit."""
    rig = Rig(max_size=1, min_idle=1, budgeted=True, create_timeout=1.0)
    rig.send(on.Allot(1))
    rig.tick(1.0)
    assert rig.states == {1: "abandoned"}
    assert rig.tick(2.0) == []  # the backoff is over, and it still wants nothing
    assert rig.send(on.OpenFailed(1))[:2] == ["gone 1", "open 2"]


def test_a_key_asked_for_in_passing_is_opened_with_the_next_permit() -> None:
    """The key is forgotten with the acquire that did not wait for it; the wish is not."""
    rig = Rig(keyed=True, budgeted=True)
    rig.acquire("db:a", timeout=0)
    assert rig.send(on.Allot(1))[:2] == ["resized 10 0 1", "open 1"]
