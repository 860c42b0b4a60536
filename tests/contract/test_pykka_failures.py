"""pykka 4.5: what an exception in a handler or in `on_start` does."""

import subprocess
import sys
import threading
from collections.abc import Generator

import pykka
import pytest

from tests.contract.hosted import SECONDS, Log, Worker, nothing_left_behind


@pytest.fixture(autouse=True)
def _guard() -> Generator[None]:
    with nothing_left_behind():
        yield


def test_an_exception_under_ask_goes_to_the_asker_and_the_actor_lives() -> None:
    # One message, two meanings (see the next test). Ours crashes alike under both (law 10).
    log = Log()
    ref = Worker.start(log)
    error = LookupError("in the handler")
    with pytest.raises(LookupError) as caught:
        ref.ask(error)
    assert caught.value is error
    assert ref.is_alive()
    assert ref.ask("next") == "did next"
    ref.stop()
    log.join()
    assert log.events == ["next", "on_stop"]


def test_the_same_exception_under_tell_kills_the_actor() -> None:
    log = Log()
    ref = Worker.start(log)
    ref.tell(LookupError("in the handler"))
    assert ref.actor_stopped.wait(SECONDS)
    log.join()
    assert log.events == ["on_failure"]
    assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) is None


class BadStart(Worker):
    error: BaseException = LookupError("in on_start")

    def on_start(self) -> None:
        super().on_start()
        self.log.wait_at_gate()
        raise self.error


def test_a_raising_on_start_runs_no_hook_after_start_has_returned_a_ref() -> None:
    # Nobody hears of it: whoever starts one of our actors must learn that it did not start.
    log = Log()
    ref = BadStart.start(log)  # returns although on_start still waits at the gate
    assert ref.is_alive()
    queued = ref.ask("early", block=False)
    log.gate.set()
    assert ref.actor_stopped.wait(SECONDS)
    log.join()
    assert log.events == []  # neither on_failure nor on_stop
    with pytest.raises(pykka.ActorDeadError):
        queued.get(timeout=0)


def test_a_base_exception_in_on_start_leaves_a_zombie(monkeypatch: pytest.MonkeyPatch) -> None:
    # Alive by its flag, still registered, its thread ended, its askers waiting for ever. Ours must
    # contain BaseException in every hook (law 9).
    uncaught: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: uncaught.append(args.exc_type))

    class Zombie(BadStart):
        error = KeyboardInterrupt()

    log = Log()
    log.gate.set()
    ref = Zombie.start(log)
    assert log.busy.wait(SECONDS)
    log.join()
    try:
        assert uncaught == [KeyboardInterrupt]
        assert log.events == []
        assert ref.is_alive()
        assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) is ref
        with pytest.raises(pykka.Timeout):
            ref.ask("anybody there?", timeout=0)
    finally:
        ref.actor_stopped.set()
        pykka.ActorRegistry.unregister(ref)


BASE_EXCEPTION = """
import asyncio, sys, threading
import pykka

class Culprit(pykka.ThreadingActor):
    use_daemon_thread = True

    def on_receive(self, message):
        raise {"CancelledError": asyncio.CancelledError, "GeneratorExit": GeneratorExit,
               "KeyboardInterrupt": KeyboardInterrupt, "SystemExit": SystemExit}[message]

class Bystander(pykka.ThreadingActor):
    use_daemon_thread = True

    def on_stop(self):
        print("bystander stopped")

bystander, culprit = Bystander.start(), Culprit.start()
threads = [each for each in threading.enumerate() if each is not threading.current_thread()]
if sys.argv[2] == "tell":
    culprit.tell(sys.argv[1])
else:
    answer = culprit.ask(sys.argv[1], block=False)
for thread in threads:
    thread.join(10)
print("alive:", [culprit.is_alive(), bystander.is_alive()])
if sys.argv[2] == "ask":
    try:
        print("answered", answer.get(timeout=0))
    except pykka.Timeout:
        print("never answered")
"""


@pytest.mark.parametrize("how", ["tell", "ask"])
@pytest.mark.parametrize(
    "kind", ["CancelledError", "GeneratorExit", "KeyboardInterrupt", "SystemExit"]
)
def test_a_base_exception_in_a_handler_stops_every_actor_of_the_process(
    kind: str, how: str
) -> None:
    # One borrower's cancellation that leaks into a turn would end all managers, and its asker would
    # wait for ever. Nothing of ours may reach this path (laws 5 and 9).
    done = subprocess.run(
        [sys.executable, "-c", BASE_EXCEPTION, kind, how],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    expected = ["bystander stopped", "alive: [False, False]"]
    if how == "ask":
        expected.append("never answered")
    assert (done.stdout.splitlines(), done.stderr, done.returncode) == (expected, "", 0)
