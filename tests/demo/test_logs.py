"""What the library logs is counted, kept and not passed on."""

from __future__ import annotations

import logging

from pepperpy_resources.demo.logs import tallied_logs


def test_records_within_the_block_are_tallied_and_go_nowhere_else() -> None:
    log = logging.getLogger("tests.demo.tallied")
    outside: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: outside.append(record.getMessage())  # type: ignore[method-assign]
    parent = logging.getLogger("tests.demo")
    parent.addHandler(handler)
    with tallied_logs(log.name) as tally:
        log.warning("slot %d is %s", 3, "overdue")
        log.getChild("child").error("crashed")
        log.warning("again")
    log.warning("after")
    parent.removeHandler(handler)
    assert tally.counts == {"warning": 2, "error": 1}
    assert list(tally.last) == ["warning: slot 3 is overdue", "error: crashed", "warning: again"]
    assert outside == ["after"]


def test_only_the_last_records_are_kept() -> None:
    log = logging.getLogger("tests.demo.many")
    with tallied_logs(log.name) as tally:
        for number in range(25):
            log.warning("%d", number)
    assert tally.counts == {"warning": 25}
    assert list(tally.last) == [f"warning: {number}" for number in range(5, 25)]
