"""The main job end to end, through the command line, on two real packages and for two seconds."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from pepperpy_resources.cli import main
from pepperpy_resources.demo import prepare, run
from pepperpy_resources.demo.corpus import Oracle, Question, SourceFile, build_oracle

SHORT = ["demo", "--seconds", "2", "--tasks", "40", "--connections", "4"]
SMALL = ["--packages", "json,asyncio"]


def test_nothing_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    status = main([*SHORT, *SMALL])
    out = capsys.readouterr().out
    assert status == 0, out
    figures = dict(re.findall(r"^  (\S.*?)  +([\d,.]+(?: m?s)?)$", out, re.MULTILINE))
    assert figures["wrong answers"] == "0"
    assert figures["resources lost"] == "0"
    assert figures["connections opened"] == figures["connections closed"]
    assert int(figures["supervisor restarts"]) == 1
    faults = {
        kind: (n, m)
        for kind, n, m in re.findall(r"^  (\w[\w ]*?) +(\d+) +(\d+)$", out, re.MULTILINE)
    }
    assert faults["supervisor crash"] == ("1", "1")
    assert all(injected == survived != "0" for injected, survived in faults.values())
    assert re.search(
        r"^Nothing was lost: [\d,]+ right answers through \d+ faults\.$", out, re.MULTILINE
    )
    assert "\x1b" not in out


def test_a_wrong_oracle_is_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def tampered(files: tuple[SourceFile, ...]) -> Oracle:
        oracle = build_oracle(files)
        oracle[Question("package", "json")] = ((1, 2, 3),)
        return oracle

    monkeypatch.setattr(prepare, "build_oracle", tampered)
    status = main([*SHORT, *SMALL])
    out = capsys.readouterr().out
    assert status == 1, out
    assert "FAIL  every query was answered right" in out
    assert "not ((1, 2, 3),)" in out
    assert out.count("FAIL  ") == 1
    assert "FAILED, this does not hold: every query was answered right." in out


def test_the_module_is_the_command_line_too() -> None:
    line = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "pepperpy_resources",
        *SHORT,
        *SMALL,
        "--seed",
        "3",
    ]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Nothing was lost" in ended.stdout
    assert "running" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Warning" not in ended.stderr


def test_a_run_that_does_not_end_in_time_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "MOST_SECONDS", 0.5)
    assert main([*SHORT, *SMALL]) == 1
    assert capsys.readouterr().out.endswith("\nFAILED: not over after 0.5 s.\n")
