"""The actor of one budget: hears what its types have and want, and tells them their permits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from pepperpy_resources.actors.base import LoopActor
from pepperpy_resources.core.budget import Book
from pepperpy_resources.core.effects import Demand
from pepperpy_resources.core.events import Allot, Inquire

if TYPE_CHECKING:
    from pepperpy_resources.actors.host import Cell


class Claim(msgspec.Struct, frozen=True):
    """What a type has of the budget and could use; `inquiry` is the last one it has heard."""

    resource_type: str
    demand: Demand
    inquiry: int = 0


class Leave(msgspec.Struct, frozen=True):
    """A type has ended and holds nothing any more."""

    resource_type: str


class BudgetActor(LoopActor):
    """Keeps one `Book`. A new incarnation asks the types what they hold: the truth is theirs."""

    handlers: ClassVar[dict[type[Any], str]] = {Claim: "claim", Leave: "leave"}

    def __init__(self, cell: Cell, root: Any, name: str, limit: int) -> None:
        super().__init__(cell)
        self._root = root
        self._name = name
        self.book = Book(limit)

    def on_start(self) -> None:
        """Ask every type of this budget that lives."""
        for state in self._root.types.values():
            budget = state.spec.budget
            if budget is not None and budget.name == self._name and state.cell.epitaph is None:
                self.book.expected.add(state.policy.name)
                state.cell.deliver(Inquire(self.cell.incarnation))

    def claim(self, message: Claim, _reply: Any) -> None:
        """Take a type's word; but not one it gave before it heard of this incarnation.

        Since then it may have taken permits that the last incarnation gave, and the books would
        give them to another as well.
        """
        expected = message.resource_type in self.book.expected
        if expected and message.inquiry != self.cell.incarnation:
            return
        self._tell(self.book.tell(message.resource_type, message.demand))

    def leave(self, message: Leave, _reply: Any) -> None:
        """Strike a type out."""
        self._tell(self.book.leave(message.resource_type))

    def _tell(self, changed: dict[str, int]) -> None:
        for name, permits in changed.items():
            if name in self._root.types:
                self._root.types[name].cell.inform(Allot(permits))
