"""The end of a tree: it comes in time, and nobody is left alive or without an answer."""

from __future__ import annotations

import math
from collections import Counter

from pepperpy_resources.core import family_events as on
from pepperpy_resources.core.kinship import ChildPolicy, Strategy
from tests.core.families import SHUTDOWN
from tests.core.trees import ROOT, Node, Plan, Tree, Worker


class Ending(Tree):
    """A tree that can be brought to its end, with all that it owes."""

    def __init__(self, plans: dict[str, Plan]) -> None:
        self.tickets: dict[int, Node] = {}
        self.ended_well: set[Node] = set()  # neither killed nor crashed
        super().__init__(plans)

    def end(self) -> None:
        """Stop the root. Every other worker ignores it; that takes no longer than is allowed."""
        self.run()
        if ROOT in self.nodes:
            latest = self.now + self.longest(ROOT)
            self.ask(ROOT, on.Stop())
            self.close()
            assert self.now <= latest
        assert not self.nodes
        assert not self.workers
        self.check_tickets()

    def close(self) -> None:
        """Let time pass until all have ended."""
        while self.ended is None:
            willing = next(
                (w for w in self.workers.values() if w.told and self.is_willing(w)), None
            )
            if willing is not None:
                self.ends(willing.name, SHUTDOWN)
                continue
            first = min(node.armed for node in self.nodes.values())
            assert first < math.inf, "it hangs"
            self.wait(first)

    def is_willing(self, worker: Worker) -> bool:
        """Tell whether a worker stops when it is told to, and at once."""
        spec = worker.parent.family.children[worker.name].spec
        return worker.number % 2 == 0 or spec.shutdown == math.inf

    def longest(self, name: str) -> float:
        """Return how long a supervisor may take to stop: its children one by one, or together.

        Until its turn comes it may be restarted, and then has its first children again.
        """
        node, plan = self.nodes.get(name), self.plans[name]
        now = [child.spec for child in node.family.children.values()] if node else []
        together = plan.policy.strategy is Strategy.SIMPLE_ONE_FOR_ONE
        add = max if together else sum
        return max(add([0.0, *map(self.patience, specs)]) for specs in (now, plan.children))

    def patience(self, spec: ChildPolicy) -> float:
        """Return how long a child may take: the endlessly patient wait for willing workers only."""
        if spec.id in self.plans:
            return min(spec.shutdown, self.longest(spec.id))
        return 0.0 if spec.shutdown == math.inf else spec.shutdown

    def check_tickets(self) -> None:
        """Nobody is answered twice, and only the crashed and killed answer nobody."""
        answers = Counter(ticket for ticket, _ in self.answers)
        for ticket, node in self.tickets.items():
            assert answers[ticket] <= 1
            if node in self.ended_well and ticket not in self.lost:
                assert answers[ticket] == 1, f"ticket {ticket} was never answered"
