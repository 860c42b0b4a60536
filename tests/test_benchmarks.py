"""The benchmark's harness: it runs, it counts right, and it refuses what it cannot do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import contenders
from benchmarks.__main__ import main
from benchmarks.contenders import ACQUIRE, FLOOR, Contender, why_missing
from benchmarks.measure import WORKLOADS, Seconds
from benchmarks.results import Figure, figure, verdicts

ROOT = Path(__file__).parents[1]
ONE_TASK, EIGHT_TASKS, MANY_TASKS = WORKLOADS


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    # A process of its own: the profile sets a trace function, which coverage has set here.
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env=dict(os.environ, PYTHONUTF8="1"),
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


def test_a_tiny_run_prints_every_contender_or_names_it_as_missing(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    done = bench("--rounds", "2", "--cycles", "200", "--json", str(file))
    assert (done.returncode, done.stderr.splitlines()[-1].split(", ")[1]) == (
        0,
        "round 2 of 2 done",
    ), done.stderr
    results = json.loads(file.read_text())
    for contender in contenders.CONTENDERS:
        [line] = [line for line in done.stdout.splitlines() if line.startswith(contender.title)]
        measured = [one for one in results["figures"] if one["contender"] == contender.key]
        if contender.key in results["missing"]:
            assert (len(measured), contender.packages != ()) == (0, True)
            assert "missing: " in line
        else:
            assert [one["workload"] for one in measured] == [load.title for load in WORKLOADS]
            assert "missing" not in line
    assert results["missing"]["psycopg"] == "needs a real PostgreSQL; give one with --dsn"


def test_the_profile_counts_the_same_bytecodes_twice() -> None:
    first, second = bench("--profile"), bench("--profile", "acquire")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == second.stdout
    lines = first.stdout.splitlines()
    assert any(line.endswith("default.DefaultResourceManager.acquire") for line in lines)
    parts = [int(line.split()[0]) for line in lines[1:-1]]
    assert int(lines[-1].split()[0]) == sum(parts)
    assert min(parts) > 0


def test_a_ratio_is_that_of_each_round_and_its_median() -> None:
    seconds: Seconds = {
        (FLOOR, ONE_TASK): [1e-6, 2e-6, 4e-6],
        (ACQUIRE, ONE_TASK): [5e-6, 6e-6, 16e-6],  # 5 ×, 3 ×, 4 ×
    }
    one = figure(seconds, ACQUIRE, ONE_TASK)
    assert (one.contender, one.workload) == ("acquire", "1 task, no hold")
    assert one.microseconds == pytest.approx(6.0)
    assert (one.ratio, one.ratio_min, one.ratio_max) == pytest.approx((4.0, 3.0, 5.0))


def test_the_limits_are_6_at_one_task_and_1_8_at_200() -> None:
    def figures(one_task: float, many_tasks: float) -> list[Figure]:
        return [
            Figure("acquire", ONE_TASK.title, 1.0, one_task, 1.0, 9.0),
            Figure("acquire", EIGHT_TASKS.title, 1.0, 100.0, 1.0, 100.0),
            Figure("acquire", MANY_TASKS.title, 1.0, many_tasks, 1.0, 9.0),
        ]

    assert [kept for _, kept in verdicts(figures(6.0, 1.8))] == [True, True]
    assert [kept for _, kept in verdicts(figures(6.01, 1.8))] == [False, True]
    lines = verdicts(figures(6.0, 1.81))
    assert [kept for _, kept in lines] == [True, False]
    assert [line for line, _ in lines] == [
        "kept: acquire/release at 1 task, no hold: 6.00 × LifoQueue (1.00..9.00), limit 6.0 ×",
        "BROKEN: acquire/release at 200 tasks, yield: 1.81 × LifoQueue (1.00..9.00), limit 1.8 ×",
    ]


def test_assert_measures_acquire_and_sets_the_exit_status() -> None:
    done = bench("--rounds", "1", "--cycles", "200", "--only", "semaphore", "--assert")
    verdict_lines = done.stdout.splitlines()[-2:]
    assert [line.split(":")[0] in {"kept", "BROKEN"} for line in verdict_lines] == [True, True]
    assert done.returncode == (1 if any(line.startswith("BROKEN") for line in verdict_lines) else 0)
    assert "lease()" not in done.stdout


def test_a_peer_that_is_not_installed_is_named_with_what_to_install() -> None:
    peer = Contender("x", "X", "no_such_pool:pool", ("no-such-pool",))
    assert why_missing(peer, None) == ("No module named 'no_such_pool'; pip install no-such-pool")


def test_a_mistake_of_the_harness_is_not_taken_for_a_missing_peer() -> None:
    peer = Contender("x", "X", "benchmarks.peers.no_such_file:pool", ("no-such-pool",))
    with pytest.raises(ModuleNotFoundError, match="no_such_file"):
        why_missing(peer, None)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("--rounds 0", "argument --rounds: '0' is not a whole number of at least 1"),
        ("--cycles -5", "argument --cycles: '-5' is not a whole number of at least 1"),
        ("--cycles many", "argument --cycles: 'many' is not a whole number of at least 1"),
        ("--only lease,redis", "argument --only: 'redis' is none of lifo, semaphore, acquire"),
        ("--json /no/such/folder/x", "cannot write '/no/such/folder/x': No such file"),
        ("--profile lifo", "argument --profile: invalid choice: 'lifo'"),
    ],
)
def test_wrong_options_are_refused(
    line: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(line.split())
    assert refused.value.code == 2
    assert complaint in capsys.readouterr().err


def test_what_supervision_costs_is_measured_and_held_to_its_limits() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.supervision", "--rounds", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    lines = {line.split("  ")[0].strip(): line for line in done.stdout.splitlines()[1:]}
    limits = {title: line.rpartition("limit ")[2] for title, line in lines.items()}
    assert limits["tree() of 10,001 nodes"] == "50"
    assert limits["1000 actors started, each once the one before is up"] == "60"
    assert limits["restart of one child, without its own start"] == "1"
    [sent] = [line for line in done.stdout.splitlines() if "messages it sent" in line]
    assert sent.split()[3:5] == ["0.000", "0.000..0.000"]
