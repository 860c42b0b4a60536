"""The load: hundreds of tasks that lease a connection, ask, and compare with the oracle.

A task knows the faults that are injected around it only as any program would: by an error. It
asks again on another lease when the error is explained by a fault; any other error, and every
answer that differs from the oracle, is kept as evidence.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from random import Random

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.demo.connection import Connection
from pepperpy_resources.demo.corpus import Answer, Oracle, Question
from pepperpy_resources.demo.database import Database
from pepperpy_resources.errors import OpenFailedError, SupervisorCrashed

TYPE = "db"  # the resource type of the demo

_MOST_QUESTIONS = 3  # on one lease
_MOST_RETRIES = 50  # for the questions of one lease: beyond that nothing is being survived
_WEIGHTS = {  # how often each question is asked, of 1000
    "file": 300,
    "outline": 250,
    "definition": 300,
    "package": 97,
    "longest": 50,
    "mentions": 3,
}


class Load:
    """The borrowing tasks, what they measured and what went wrong for them."""

    def __init__(
        self,
        manager: DefaultResourceManager,
        database: Database,
        oracle: Oracle,
        *,
        tasks: int,
        seed: int,
    ) -> None:
        """Prepare that many tasks; each chooses its questions by `seed` and its own number."""
        self.tasks = tasks
        self.over = False
        self.leases = 0
        self.queries = 0
        self.replaced = 0
        self.waits: list[float] = []  # seconds from asking for a lease to having it
        self.retries: Counter[str] = Counter()  # by what made a task ask again
        self.wrong: list[str] = []
        self.misused: list[str] = []  # connections lent to two at once, or lent when spoilt
        self.failed: list[str] = []  # errors that no injected fault explains
        self._manager = manager
        self._database = database
        self._oracle = oracle
        self._seed = seed
        self._running: set[asyncio.Task[None]] = set()
        self._questions: dict[str, list[Question]] = {}  # by kind; only kinds there are
        for question in oracle:
            self._questions.setdefault(question.kind, []).append(question)

    @property
    def active(self) -> int:
        """Tasks that have a connection on lease now."""
        return sum(one.holder is not None for one in self._database.connections)

    def start(self) -> None:
        """Start all tasks."""
        for number in range(self.tasks):
            self._spawn(f"borrower {number}")

    async def finish(self, timeout: float) -> None:
        """Let every task finish its lease; those not done after `timeout` seconds have failed."""
        self.over = True
        if not self._running:
            return
        _, stuck = await asyncio.wait(self._running, timeout=timeout)
        for task in stuck:
            self.failed.append(f"{task.get_name()} still waits {timeout:g} s after the end")
            task.cancel()
        if stuck:
            await asyncio.wait(stuck)

    def _spawn(self, name: str) -> None:
        random = Random(f"{self._seed} {name} {self.replaced}")
        task = asyncio.create_task(self._borrow_and_ask(random), name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if task.cancelled():
            # A cancelled borrower is gone for good; another one takes its place.
            self.replaced += 1
            if not self.over:
                self._spawn(task.get_name())
        elif (error := task.exception()) is not None:
            self.failed.append(f"{task.get_name()}: {error!r}")

    async def _borrow_and_ask(self, random: Random) -> None:
        kinds = list(self._questions)
        weights = [_WEIGHTS[kind] for kind in kinds]
        while not self.over:
            asked = random.choices(kinds, weights, k=random.randint(1, _MOST_QUESTIONS))
            await self._ask_all([random.choice(self._questions[kind]) for kind in asked])

    async def _ask_all(self, pending: list[Question]) -> None:
        """Ask all questions, on another lease where a fault hit the one in use."""
        loop = asyncio.get_running_loop()
        for _ in range(_MOST_RETRIES):
            asked = loop.time()
            try:
                async with self._manager.lease(TYPE) as connection:
                    self.waits.append(loop.time() - asked)
                    await self._ask_on(connection, pending)
            except tuple(_EXPLAINED) as error:
                self.retries[_EXPLAINED[type(error)]] += 1
            if not pending:
                return
        self.failed.append(f"{_MOST_RETRIES} leases were not enough to ask {pending[-1]}")

    async def _ask_on(self, connection: Connection, pending: list[Question]) -> None:
        """Ask on a connection just leased, after a look at whether nobody else has it."""
        self.leases += 1
        self._note_misuse(connection)
        task = asyncio.current_task()
        connection.holder = task.get_name() if task else "nobody"
        try:
            while pending:
                answer = await self._database.ask(connection, pending[-1])
                self._compare(pending.pop(), answer)
        except sqlite3.Error as error:
            if connection.broken:
                raise _BrokenByFaultError from error
            raise
        finally:
            connection.holder = None

    def _compare(self, question: Question, answer: Answer) -> None:
        self.queries += 1
        if answer != self._oracle[question]:
            self.wrong.append(f"{question}: {answer}, not {self._oracle[question]}")

    def _note_misuse(self, connection: Connection) -> None:
        if connection.holder is not None:
            self.misused.append(f"{connection} lent while {connection.holder} had it")
        if connection.spoilt or connection.closed:
            self.misused.append(f"{connection} lent after it was spoilt or closed")


class _BrokenByFaultError(Exception):
    """The connection on lease was broken by an injected fault."""


# The errors that the injected faults explain: a task that meets one asks again on another lease.
_EXPLAINED: dict[type[Exception], str] = {
    _BrokenByFaultError: "a broken connection",
    OpenFailedError: "a failed connect",
    SupervisorCrashed: "a supervisor crash",
}
