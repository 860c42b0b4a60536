"""The comparison of pools: what it says of ours is what we promise, and it says what it saw."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from benchmarks.contenders import Contender
from benchmarks.reliability import run as runner
from benchmarks.reliability.backend import Backend, Resource, ticks
from benchmarks.reliability.cases import CASES, Case
from benchmarks.reliability.cases.barging import inversions
from benchmarks.reliability.figures import HANGS, NEVER, Figure, count, duration, lacking
from benchmarks.reliability.ours import open_pool
from benchmarks.reliability.pools import OURS, POOLS, Pool, Shape
from benchmarks.reliability.report import TRADES, Comparison, measures, render, worse
from pepperpy_resources.testing import run

ROOT = Path(__file__).parents[1]

# Worked out from the cases: creations last 1 s in case 5 and 0.1 s in case 6, a reset has 5 s and
# close() 1 s; case 19 keeps 5 resources, and opens one at a time or `max_opening`, which is 4.
PROMISED = {
    "1. usable slots after 400 cancelled acquires": "3/3",
    "2. usable slots after 420 cancelled releases": "3/3",
    "2. usable slots after a reset that never returns": "3/3 in 5.00 s",
    "4. inversions, 30 waiting and 30 newcomers at 1 slot": "0",
    "5. the next in the queue is served after a failed creation": "1.00 s",  # by the next creation
    "5. borrowers refused because of one failed creation": "0 of 2",
    "5. the next in the queue is served after a lost connection": "1.00 s",
    "6. first lease after all 8 idle resources died": "0.10 s",
    "6. all of 8 borrowers served after all 8 died, default settings": "0.20 s",  # 4 at a time
    "6. all of 8 borrowers served after all 8 died, 8 creations at once": "0.10 s",
    "6. of these 8, failed or got a dead one": "0",
    "8. who waits when the pool is closed": "ManagerStopped after 0.0 s",
    "8. close returns": "after 1.00 s",
    "8. resources open when close has returned": "0",
    "8. resources open when the borrower is gone": "0",
    "8. a second close": "after 0.00 s",
    "19. the 50 are served, default settings": "0.02 s",
}
AT_MOST = {
    "3. cancels of an acquire that were swallowed": 0,
    "19. resources made for 50 borrowers, one creation at a time": 6,
    "19. resources made for 50 borrowers, default settings": 9,
}


@pytest.mark.parametrize("case", CASES, ids=[case.key for case in CASES])
def test_ours_does_what_we_promise(case: Case) -> None:
    opened: list[Pool] = []

    async def open_and_remember(backend: Backend, shape: Shape) -> Pool:
        opened.append(await open_pool(backend, shape))
        return opened[-1]

    async def figures() -> list[Figure]:
        found = await case.run(open_and_remember)
        for pool in opened:
            assert pool.close is not None
            await pool.close(0)
        return found

    for measure, figure in zip(case.measures, run(figures()), strict=True):
        assert figure.badness is not None
        if measure in AT_MOST:
            assert figure.badness <= AT_MOST[measure], (measure, figure)
        else:
            assert (measure, figure.text) == (measure, PROMISED[measure])


def test_every_measure_is_promised_and_is_a_row_of_the_document() -> None:
    traded = {row for trade in TRADES for row in trade[:2]}
    assert {*measures(), *traded} == {*PROMISED, *AT_MOST}
    document = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    compared, shown = document.split("## Where ours trades")
    assert rows(compared) == measures()
    assert rows(shown) == [trade.by_default for trade in TRADES]


def rows(document: str) -> list[str]:
    """Return the titles of the rows of its table."""
    found = [line.split("|")[1].strip() for line in document.splitlines() if line[:1] == "|"]
    return found[2:]


def test_the_trades_are_said_with_both_settings_and_not_compared() -> None:
    peer = POOLS[1]
    figures = {(OURS.key, row): count(6) for case in CASES for row in case.measures}
    figures |= {(OURS.key, trade.by_default): count(9) for trade in TRADES}
    figures |= {(peer.key, trade.by_default): count(5) for trade in TRADES}
    assert worse(figures) == []
    document = render(Comparison({"python": "", "system": ""}, {}, {}, figures, real=False))
    outage, spike = [line for line in document.splitlines() if "`max_opening=4`" in line]
    assert "are served after 9. `max_opening=8` needs one round: 6." in outage
    assert ": 9 resources were made. `max_opening=1` begins one: 6." in spike
    for trade in TRADES:
        [cells] = [line.split("|") for line in document.splitlines() if trade.by_default in line]
        assert [cell.strip() for cell in cells[2:5]] == ["9", "5", "-"]


@pytest.mark.parametrize(
    ("served", "number"), [([1, 2, 3], 0), ([2, 1, 3], 1), ([3, 2, 1], 3), ([2, 3, 1], 2)]
)
def test_an_inversion_is_a_pair_in_the_wrong_order(served: list[int], number: int) -> None:
    assert inversions(served) == number


def test_two_borrowers_of_one_resource_are_noticed() -> None:
    async def both() -> None:
        backend = Backend(opening=ticks(1), round_trip=ticks(2))
        resource: Resource = await backend.connect()
        await asyncio.gather(backend.use(resource), backend.use(resource))

    with pytest.raises(AssertionError, match="<resource 1> has two borrowers"):
        run(both())


def test_never_survives_json_and_is_worse_than_any_time() -> None:
    never = duration(NEVER)
    assert (
        msgspec.json.decode(msgspec.json.encode(never), type=Figure)
        == never
        == Figure("never", NEVER)
    )
    assert duration(59.0).badness == 59.0 < NEVER


def test_a_process_that_does_not_end_is_said_to_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "DEADLINES", {False: 0.0, True: 0.0})
    figures = asyncio.run(runner.run([OURS], real=False, progress=lambda _line: None))
    assert figures == {(OURS.key, measure): HANGS for case in CASES for measure in case.measures}


def test_a_pool_that_fails_says_how_in_its_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CASES", CASES[:1])
    nobody = Contender("nobody", "Nobody", "no:pool")
    figures = asyncio.run(runner.run([nobody], real=False, progress=lambda _line: None))
    assert set(figures.values()) == {Figure("failed: StopIteration", NEVER)}


def test_the_document_names_who_is_missing_and_where_ours_is_not_best() -> None:
    row, other, third = measures()[:3]
    peer, absent = POOLS[1:3]
    figures = {(OURS.key, measure): count(1) for measure in measures()}
    figures |= {(peer.key, measure): count(1) for measure in measures()}
    assert worse(figures) == []
    figures[peer.key, row] = count(0)
    figures[peer.key, other] = count(2)
    figures[peer.key, third] = lacking("no such thing")
    assert worse(figures) == [(row, [peer])]
    machine = {"python": "CPython 3.11.7", "system": "Linux"}
    missing = {pool.key: "pip install it" for pool in POOLS if pool not in (OURS, peer)}
    lines = render(Comparison(machine, {"x": "1.0"}, missing, figures, real=False)).splitlines()
    assert f"- {absent.title} was not there: pip install it." in lines
    [line] = [line for line in lines if line.startswith("- Not best")]
    assert line == f'- Not best in "{row}". Better: {peer.title}.'
    [cells] = [line.split("|") for line in lines if line.startswith(f"| {row}")]
    assert [cell.strip() for cell in cells[2:5]] == ["1", "0", "-"]
