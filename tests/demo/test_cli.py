"""The command line: what it accepts, what it refuses, and its exit status."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from pepperpy_resources import cli
from pepperpy_resources.demo.options import Options
from pepperpy_resources.demo.screen import Screen


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """Replace the run by one that notes what it was told and says that nothing was lost."""
    given: list[Options] = []

    def run(options: Options, screen: Screen) -> bool:
        given.append(options)
        return True

    monkeypatch.setattr("pepperpy_resources.demo.run.run", run)
    return given


def test_the_options_reach_the_run(given: list[Options]) -> None:
    line = "demo --seconds 2.5 --tasks 10 --connections 3 --seed 7 --packages json,asyncio"
    assert cli.main(line.split()) == 0
    assert given == [
        Options(seconds=2.5, tasks=10, connections=3, seed=7, packages=("json", "asyncio"))
    ]


def test_the_defaults_are_those_of_the_options(given: list[Options]) -> None:
    assert cli.main(["demo", "--no-color"]) == 0
    assert given == [Options()]


def test_a_loss_is_exit_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pepperpy_resources.demo.run.run", lambda _options, _screen: False)
    assert cli.main(["demo"]) == 1


def test_an_interrupt_is_exit_status_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_options: Options, _screen: Screen) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr("pepperpy_resources.demo.run.run", interrupted)
    assert cli.main(["demo"]) == 130
    assert capsys.readouterr().err == "\ninterrupted\n"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("demo --seconds 41", "argument --seconds: '41' is not a number from 2 to 40"),
        ("demo --seconds 1", "argument --seconds: '1' is not a number from 2 to 40"),
        ("demo --seconds nan", "argument --seconds: 'nan' is not a number from 2 to 40"),
        ("demo --tasks many", "argument --tasks: 'many' is not a number from 1 to 10000"),
        ("demo --tasks 1.5", "argument --tasks: '1.5' is not a number from 1 to 10000"),
        ("demo --connections 1", "argument --connections: '1' is not a number from 2 to 64"),
        ("demo --packages nosuch", "no package of the standard library is called 'nosuch'"),
        ("dance", "invalid choice: 'dance'"),
        ("", "the following arguments are required: command"),
    ],
)
def test_a_wrong_command_line_is_exit_status_2(
    line: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(line.split())
    assert stopped.value.code == 2
    assert complaint in capsys.readouterr().err


def test_the_version_is_that_of_the_installed_distribution(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "version", lambda _name: "1.2.3")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == "pepperpy-resources 1.2.3\n"


def test_a_source_tree_that_is_not_installed_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(cli, "version", missing)
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == "pepperpy-resources (not installed)\n"


def test_help_describes_the_demo_and_not_what_is_for_tests(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["demo", "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert "--connections N" in text
    assert "2 to 40 (default 15.0)" in text
    assert "--packages" not in text


def test_what_keeps_the_demo_from_running_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_options: Options, _screen: Screen) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pepperpy_resources.demo.run.run", full)
    assert cli.main(["demo"]) == 1
    expected = "pepperpy-resources demo: cannot run: [Errno 28] No space left on device\n"
    assert capsys.readouterr().err == expected


def test_a_python_without_the_sources_of_its_library_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("pepperpy_resources.demo.prepare.library_root", lambda: tmp_path)
    assert cli.main(["demo"]) == 1
    assert f"no source file of the standard library was found in {tmp_path}" in (
        capsys.readouterr().err
    )
