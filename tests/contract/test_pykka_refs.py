"""pykka 4.5: what stop, stop_all and proxies make of `ask` and `tell`."""

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pykka
import pytest
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from tests.contract.hosted import HandActor, HandFuture, nothing_left_behind


@pytest.fixture(autouse=True)
def _guard() -> Generator[None]:
    with nothing_left_behind():
        yield


def test_stop_is_an_ask_of_the_internal_stop_message() -> None:
    # The inbox recognises it by type and gives it the control lane (law 3).
    actor = HandActor()
    answer = actor.actor_ref.stop(block=False)
    [envelope] = actor.actor_inbox.envelopes
    assert isinstance(envelope.message, _ActorStop)
    assert isinstance(envelope.reply_to, HandFuture)
    assert isinstance(answer, HandFuture)


def test_stop_from_inside_is_a_tell_of_the_same_message() -> None:
    # The control lane must expect a stop that nobody waits for.
    actor = HandActor()
    actor.stop()
    [envelope] = actor.actor_inbox.envelopes
    assert isinstance(envelope.message, _ActorStop)
    assert envelope.reply_to is None


def test_stop_returns_a_second_future_of_the_same_class_with_a_get_hook() -> None:
    # The class is called without arguments and not through `_create_future`, so our Reply must be
    # constructible bare and must serve `get()` through a hook on any thread.
    created: list[HandFuture] = []

    class Stopped(HandActor):
        @staticmethod
        def _create_future() -> pykka.Future[Any]:
            created.append(HandFuture())
            return created[-1]

    actor = Stopped()
    converted = actor.actor_ref.stop(block=False)
    [asked] = created
    assert type(converted) is HandFuture
    assert converted is not asked
    assert (len(converted.hooks), len(asked.hooks)) == (1, 0)
    assert asked.timeouts == []
    asked.set(None)
    assert converted.get(timeout=3.0) is True
    assert asked.timeouts == [3.0]


def test_stop_of_a_dead_ref_says_false() -> None:
    # An ActorDeadError as answer means "was dead already": our inbox must not use it otherwise.
    actor = HandActor()
    actor.actor_stopped.set()
    assert actor.actor_ref.stop() is False


def test_a_proxy_speaks_through_ask_and_tell() -> None:
    # So proxies work on our actors without code of ours; setting an attribute blocks on `get`.
    class Named(HandActor):
        name = "old"

        def greet(self, whom: str, *, mark: str) -> str:
            return f"hello {whom}{mark}"

    actor = Named()
    proxy = actor.actor_ref.proxy()
    called = proxy.greet("you", mark="!")
    proxy.greet.defer("nobody", mark="?")
    read = proxy.name
    with pytest.raises(pykka.Timeout):  # HandFuture.get(): nobody has answered yet
        proxy.name = "new"
    envelopes = list(actor.actor_inbox.envelopes)
    assert [envelope.message for envelope in envelopes] == [
        ProxyCall(("greet",), ("you",), {"mark": "!"}),
        ProxyCall(("greet",), ("nobody",), {"mark": "?"}),
        ProxyGetAttr(("name",)),
        ProxySetAttr(("name",), "new"),
    ]
    assert [envelope.reply_to is None for envelope in envelopes] == [False, True, False, False]
    for _ in envelopes:
        actor.turn()  # `_handle_receive` serves all of them
    assert (called.get(), read.get(), actor.name) == ("hello you!", "old", "new")


STOP_ALL = """
import pykka
from tests.contract.hosted import HandActor, HandInbox

order = []

class AtOnce(HandInbox):
    def put(self, envelope):
        order.append(type(envelope.message).__name__)
        envelope.reply_to.set(None)

class Hosted(HandActor):
    @staticmethod
    def _create_actor_inbox():
        return AtOnce()

    def _start_actor_loop(self):
        kept.append(self)

kept = []
first, second = Hosted.start(), Hosted.start()
first.actor_stopped.set()
print(pykka.ActorRegistry.stop_all(), order, len(pykka.ActorRegistry.get_all()))
"""


def test_stop_all_is_ref_stop_of_every_registered_actor_newest_first() -> None:
    # A host program's `stop_all()` waits for each answer in turn: ours must come at once (law 3).
    # It takes nobody off the registry itself. In a process of its own: it stops everyone's actors.
    done = subprocess.run(
        [sys.executable, "-c", STOP_ALL],
        cwd=Path(__file__).parents[2],  # it imports `tests.…`
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[True, False] ['_ActorStop'] 2\n", "")
