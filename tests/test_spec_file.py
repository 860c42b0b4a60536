"""`load_specs`: what a file may hold, and what every refusal of one says."""

import asyncio
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pepperpy_resources._forms import COUNTS, DURATIONS, HOOKS, LIMITS
from pepperpy_resources.errors import InvalidSpec
from pepperpy_resources.spec import Backoff, Budget, Intensity, ResourceSpec
from pepperpy_resources.spec_file import load_specs
from tests import spec_kit

EXAMPLES = Path(__file__).parent.parent / "examples"
KIT = spec_kit.__name__
TYPE = f'[types.db]\nfactory = "{KIT}:connect"\n'
PATH = "an import path, 'package.module:attribute'"
SECONDS = 'seconds or an ISO 8601 duration such as "PT0.5S"'


@pytest.fixture(name="written")
def fixture_written(tmp_path: Path) -> Path:
    return tmp_path / "pool.toml"


def load(written: Path, text: str) -> list[ResourceSpec[Any]]:
    written.write_text(text, encoding="utf-8")
    return load_specs(written)


def refusal(written: Path, text: str) -> InvalidSpec:
    """Return the refusal of this text, without checking more than that it begins with the file."""
    with pytest.raises(InvalidSpec) as caught:
        load(written, text)
    assert str(caught.value).startswith(f"{written}: ")
    return caught.value


def told(written: Path, text: str) -> str:
    return str(refusal(written, text)).removeprefix(f"{written}: ")


def test_the_example_file_shows_every_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))  # pyright: ignore[reportUnknownMemberType]
    text = (EXAMPLES / "pool.toml").read_text(encoding="utf-8")
    specs = {spec.name: spec for spec in load_specs(EXAMPLES / "pool.toml")}
    assert list(specs) == ["db", "vault", "session", "file"]
    not_shown = {
        field
        for field in ResourceSpec.__struct_fields__
        if field != "name" and f"\n{field} = " not in text and f".{field}]" not in text
    }
    assert not_shown == set()
    db = specs["db"]
    assert db.factory.__qualname__ == "connect"
    assert db.budget == Budget("connections", 12)
    assert (db.acquire_timeout, db.max_queue_delay, db.keepalive) == (2.5, 0.25, 60.0)
    assert (db.check_on, db.depends_on) == ({"acquire", "return"}, ("vault",))
    assert db.backoff == Backoff(min=0.1, factor=2.0, max=10.0, jitter=0.2, attempts=5)
    assert db.restart == Intensity(restarts=3, period=5.0)
    session = specs["session"]
    assert (session.max_size, session.keyed, session.required) == (None, True, False)


def test_a_file_says_the_same_as_python(written: Path) -> None:
    text = f"""
    [types.db]
    factory = "{KIT}:connect"
    close = "builtins:str.upper"
    check = "{KIT}:hook"
    acquire_timeout = "inf"
    max_waiting = inf
    max_uses = "inf"
    max_hold = inf
    idle_timeout = inf
    create_timeout = "PT1M30.5S"
    max_lifetime = "P1DT1H"
    fresh_for = 0
    depends_on = ["a", "b", "a"]
    backoff = {{ min = "PT1S", max = 20, attempts = inf }}
    restart = {{ period = "PT1M" }}

    [types."größe-2.main"]
    factory = "{KIT}:make"
    budget = "all"
    max_size = inf

    [budgets.all]
    limit = 7
    """
    assert load(written, text) == [
        ResourceSpec(
            "db", factory=spec_kit.connect, close=str.upper,
            check=spec_kit.hook, acquire_timeout=math.inf, idle_timeout=math.inf,
            create_timeout=90.5, max_lifetime=90000, fresh_for=0, depends_on=("a", "b"),
            backoff=Backoff(min=1, max=20), restart=Intensity(period=60),
        ),
        ResourceSpec(
            "größe-2.main", factory=spec_kit.make, budget=Budget("all", 7), max_size=None
        ),
    ]  # fmt: skip


def test_a_path_is_a_str_or_a_path_and_a_byte_order_mark_is_none_of_the_text(
    written: Path,
) -> None:
    written.write_text("\ufeff" + TYPE.replace("\n", "\r\n"), encoding="utf-8")
    assert load_specs(str(written)) == load_specs(written)
    assert [spec.name for spec in load_specs(written)] == ["db"]


@pytest.mark.parametrize("path", [None, 7, 3.5, ["pool.toml"]])
def test_what_is_no_path_is_refused(path: Any) -> None:
    with pytest.raises(InvalidSpec, match=r"^path must be a str or an os\.PathLike; got "):
        load_specs(path)


def test_a_file_that_cannot_be_read_is_refused_with_the_cause(tmp_path: Path) -> None:
    for path, problem, cause in (
        (str(tmp_path / "none.toml"), "No such file or directory", FileNotFoundError),
        (str(tmp_path), "Is a directory", IsADirectoryError),
        (f"{tmp_path}/a\0b", "embedded null byte", ValueError),
    ):
        with pytest.raises(InvalidSpec) as caught:
            load_specs(path)
        assert str(caught.value) == f"{path}: it cannot be read: {problem}"
        assert isinstance(caught.value.__cause__, cause)


def test_what_is_not_utf_8_is_refused(written: Path) -> None:
    written.write_bytes(b"[types.db]\nfactory = '\xff'\n")
    with pytest.raises(InvalidSpec, match="it must be UTF-8; got invalid start byte"):
        load_specs(written)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[types.db]\nfactory = \n", "Invalid value (at line 2, column 11)"),
        ("[types.db]\nmax_size = 1\nmax_size = 1", "Cannot overwrite a value (at line 3, colu"),
        ("[types.db]\n[types.db]\n", "Cannot declare ('types', 'db') twice (at line 2, column 10)"),
        ("a = 9" + "9" * 5000, "Exceeds the limit"),
        ("a = " + "[" * 100_000, "arrays or tables nested too deeply"),
    ],
)
def test_bad_toml_is_refused_with_line_and_column(written: Path, text: str, message: str) -> None:
    assert told(written, text).startswith(f"it must be TOML; got {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it must declare a type, [types.NAME]; got none"),
        ("[types]\n", "it must declare a type, [types.NAME]; got none"),
        ("[type.db]\n", ("unknown table 'type'; the nearest is 'types' (a file holds [types.NAME]"
         " and [budgets.NAME])")),
        ("types = 3\n", "types must be tables [types.NAME]; got 3"),
        ("[[budgets]]\n", "budgets must be tables [budgets.NAME]; got a value of type list"),
        ("[types]\ndb = 3\n", "type 'db' must be a table of fields; got 3"),
        ("[types]\n'a:b' = 3\n", ("ResourceSpec: name must be a printable word without whitespace"
         " or any of :*?[] and not led by '#'; got 'a:'...")),
        ("[types.db]\nmax_size = 1\n", "ResourceSpec 'db': factory must be given; got nothing"),
        (TYPE + "max_sise = 1\n",
         "ResourceSpec 'db': unknown field 'max_sise'; the nearest is 'max_size'"),
        (TYPE + "name = 'db'\n",
         "ResourceSpec 'db': name must be left out: it is the table's; got 'db'"),
        (TYPE + "scope = 'task'\n",
         "ResourceSpec 'db': scope must be left out: it is not built yet; got 'task'"),
        (TYPE + "[budgets]\n'a b' = 3\n", ("a budget's name must be a printable word without white"
         "space or any of :*?[] and not led by '#'; got 'a '...")),
        (TYPE + "[budgets]\nall = 3\n", "budget 'all' must be a table with a limit; got 3"),
        (TYPE + "[budgets.all]\nlimt = 3\n",
         "budget 'all': unknown field 'limt'; it has only 'limit'"),
        (TYPE + "[budgets.all]\n",
         "budget 'all': limit must be an int >= 1 (below 2**63); got nothing"),
        (TYPE + "[budgets.all]\nlimit = 2.5\n",
         "budget 'all': limit must be an int >= 1 (below 2**63); got 2.5"),
        (TYPE + "min_idle = 4\nbudget = 'all'\n[types.llm]\nbudget = 'all'\nmin_idle = 4\n"
         f"factory = '{KIT}:make'\n[budgets.all]\nlimit = 6\n",
         ("ResourceSpec 'llm': min_idle must be at most 2: budget 'all' has limit 6, of which other"
         " types keep 4 ready; got 4")),
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused_by_name(written: Path, text: str, message: str) -> None:
    assert told(written, text) == message


@pytest.mark.parametrize(
    ("field", "value", "allowed", "got"),
    [
        ("max_size", "'five'", ("an int >= 1 (below 2**63) or inf (no limit, for a keyed type or"
         " with a budget)"), "'five'"),
        ("max_uses", "0", "an int >= 1 (below 2**63) or inf (no limit)", "0"),
        ("max_opening", "inf", "an int >= 1 (below 2**63)", "inf"),
        ("keyed", "'yes'", "true or false", "'yes'"),
        ("order", "'lru'", "'lifo' or 'fifo'", "'lru'"),
        ("on_exception", "'close'",
         "'keep' or 'reset' or 'discard' or left out (as the reset hook says)", "'close'"),
        ("acquire_timeout", "'5'", SECONDS + " (Invalid ISO8601 duration)", "'5'"),
        ("acquire_timeout", "'P1W'", SECONDS + " (Only units 'D', 'H', 'M', and 'S' are supported"
         " when parsing ISO8601 durations)", "'P1W'"),
        ("acquire_timeout", "'P999999999999D'", SECONDS + " (Duration is out of range)",
         "'P999999999999D'"),
        ("acquire_timeout", "'-PT5S'", SECONDS + ", >= 0 (0 = do not wait), inf = for ever",
         "'-PT5S'"),
        ("create_timeout", "'PT0S'", SECONDS + ", > 0, finite", "'PT0S'"),
        ("create_timeout", "nan", SECONDS + ", > 0, finite", "nan"),
        ("create_timeout", "00:00:05", SECONDS + ", > 0, finite", "a value of type time"),
        ("max_hold", "'PT0S'", SECONDS + ", > 0, finite or inf (no limit)", "'PT0S'"),
        ("check_on", "['idle']", "a set that holds 'acquire', 'return' or nothing",
         "'idle' in it"),
        ("depends_on", "'vault'", "a list of names of resource types", "'vault'"),
        ("backoff", "3", "a table of min, factor, max, jitter, attempts", "3"),
        ("backoff", "{ mim = 3 }", "a table of min, factor, max, jitter, attempts",
         "unknown field 'mim', the nearest is 'min'"),
        ("restart", "{ restarts = '3' }", "an int >= 0 (below 2**63)", "'3'"),
        ("restart", "{ period = '5' }", SECONDS + " (Invalid ISO8601 duration)", "'5'"),
        ("backoff", "{ min = 'PT0S' }", SECONDS + ", > 0, finite", "'PT0S'"),
        ("backoff", "{ attempts = 0 }", "an int >= 1 (below 2**63) or inf (no limit)", "0"),
        ("backoff", "{ min = 20 }", "at least min (20.0 s)", "10.0"),
        ("budget", "'al'", "the name of a table [budgets.NAME]; the nearest is 'all'", "'al'"),
        ("budget", "7", "the name of a table [budgets.NAME]; the nearest is nothing", "7"),
        ("min_idle", "11", "at most max_size (10)", "11"),
        ("check", "'os:sep'", "a def or async def that takes the resource, or left out",
         "'os:sep', which is a value of type str"),
        ("close", "'tests.spec_kit:async_generator'",
         "a def or async def that takes the resource, or left out",
         "'tests.spec_kit:async_generator', which is tests.spec_kit.async_generator"),
        ("close", "7", PATH, "7"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_in_the_words_of_toml(
    written: Path, field: str, value: str, allowed: str, got: str
) -> None:
    text = told(written, f"{TYPE}{field} = {value}\n[budgets.all]\nlimit = 100\n")
    where, must_be, _ = text.partition(" must be ")
    assert where.split(".")[0] == f"ResourceSpec 'db': {field}"
    assert text == f"{where}{must_be}{allowed}; got {got}"


def test_no_budget_declared_is_said_too(written: Path) -> None:
    assert told(written, TYPE + "budget = 'all'\n") == (
        "ResourceSpec 'db': budget must be the name of a table [budgets.NAME]; the nearest is"
        " nothing; got 'all'"
    )


@pytest.mark.parametrize(
    ("path", "got"),
    [
        ("connect", "'connect'"),
        ("tests.spec_kit.connect", "'tests.spec_kit.connect'"),
        ("", "''"),
        (":connect", "':'..."),
        ("tests.spec_kit:", "'tests.spec_kit:'"),
        ("tests..spec_kit:connect", "'tests.'..."),
        (".spec_kit:connect", "'.'..."),
        ("tests.spec_kit:connect()", "'tests.spec_kit:'..."),
        ("postgres://me:hunter2@db", "'postgres:'..."),
        ("me:hunter2@db", "'me:'..."),
        ("my pass:word", "'m'..."),
        ("a" * 400 + ":" + "b" * 400, "'" + "a" * 60 + "'......"),
    ],
)
def test_what_is_no_import_path_is_shown_only_up_to_the_mistake(
    written: Path, path: str, got: str
) -> None:
    text = told(written, f"[types.db]\nfactory = '{path}'\n")
    assert text == f"ResourceSpec 'db': factory must be {PATH}; got {got}"


MODULES = {
    "raises": "raise OSError('hunter2')",
    "exits": "import sys; sys.exit(3)",
    "cancelled": "import asyncio; raise asyncio.CancelledError",
    "imports_none": "import no_such_module_anywhere",
    "broken": "def f(:",
    "lazy": "def __getattr__(name): raise OSError('hunter2')",
    "undirected": "def __dir__(): raise OSError('hunter2')",
}


@pytest.mark.parametrize(
    ("path", "problem", "cause"),
    [
        ("no_such_package.a:f", ("a module that can be imported: there is no module"
         " 'no_such_package'"), ModuleNotFoundError),
        ("tests.spec_kid:f", "a module that can be imported: there is no module 'tests.spec_kid'",
         ModuleNotFoundError),
        ("imports_none:f", ("a module that can be imported: there is no module"
         " 'no_such_module_anywhere'"), ModuleNotFoundError),
        ("raises:f", "a module that can be imported: it raised OSError", OSError),
        ("exits:f", "a module that can be imported: it raised SystemExit", SystemExit),
        ("cancelled:f", "a module that can be imported: it raised CancelledError",
         asyncio.CancelledError),
        ("broken:f", "a module that can be imported: it raised SyntaxError", SyntaxError),
    ],
)  # fmt: skip
def test_a_module_that_cannot_be_imported_is_named_and_its_error_is_the_cause(
    written: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    problem: str,
    cause: type[BaseException],
) -> None:
    for name, code in MODULES.items():
        (written.parent / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(written.parent))  # pyright: ignore[reportUnknownMemberType]
    refused = refusal(written, f"[types.db]\nfactory = '{path}'\n")
    message = str(refused).removeprefix(f"{written}: ")
    assert message == f"ResourceSpec 'db': factory must be {PATH}, of {problem}; got '{path}'"
    assert type(refused.__cause__) is cause


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("tests.spec_kit:conect", "tests.spec_kit has no 'conect'; the nearest is 'connect'"),
        ("tests.spec_kit:CallableHook.call",
         "tests.spec_kit.CallableHook has no 'call'; the nearest is '__call__'"),
        ("lazy:f", "'f' of lazy raised OSError"),
        ("undirected:f", "undirected has no 'f'; the nearest is unknown"),
    ],
)  # fmt: skip
def test_an_attribute_that_is_missing_is_named_with_the_nearest(
    written: Path, monkeypatch: pytest.MonkeyPatch, path: str, problem: str
) -> None:
    for name in ("lazy", "undirected"):
        (written.parent / f"{name}.py").write_text(MODULES[name])
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(written.parent))  # pyright: ignore[reportUnknownMemberType]
    refused = refusal(written, f"[types.db]\nfactory = '{path}'\n")
    message = str(refused).removeprefix(f"{written}: ")
    assert message == f"ResourceSpec 'db': factory must be {PATH}: {problem}; got '{path}'"
    assert isinstance(refused.__cause__, (AttributeError, OSError))


def test_ctrl_c_while_a_module_is_imported_ends_the_program(written: Path) -> None:
    (written.parent / "interrupted.py").write_text("raise KeyboardInterrupt")
    written.write_text("[types.db]\nfactory = 'interrupted:f'\n")
    code = (
        "from pepperpy_resources.spec_file import load_specs\n"
        f"try: load_specs({os.fspath(written)!r})\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(written.parent), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


def test_every_field_has_a_form_or_is_written_as_in_python() -> None:
    formed = {*HOOKS, *LIMITS, *COUNTS, *DURATIONS, "backoff", "restart", "budget"}
    assert set(ResourceSpec.__struct_fields__) - formed == {
        "name", "on_exception", "min_idle", "max_opening", "keyed", "max_holders", "order",
        "priority", "check_on", "lifetime_jitter", "on_overdue", "borrow_stack", "required",
        "depends_on", "offload", "thread_bound",
    }  # fmt: skip
