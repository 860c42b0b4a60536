"""The metrics actor: copies every counter block in one turn into one immutable snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from pepperpy_resources.actors.base import LoopActor
from pepperpy_resources.core.snapshot import Figures, figures

if TYPE_CHECKING:
    from pepperpy_resources.actors.host import Cell
    from pepperpy_resources.actors.type_state import TypeState


class Collect(msgspec.Struct, frozen=True):
    """Ask for the `ManagerFigures` of this moment."""


class SupervisorFigures(msgspec.Struct, frozen=True):
    """What a scrape needs of one actor."""

    path: str
    up: bool
    restarts: int
    mailbox: int


class ManagerFigures(msgspec.Struct, frozen=True):
    """Every figure of one manager, all of one moment."""

    types: tuple[Figures, ...]
    supervisors: tuple[SupervisorFigures, ...]


class MetricsActor(LoopActor):
    """Answers `Collect`. The blocks are kept by the root, so no crash sets a counter back."""

    handlers: ClassVar[dict[type[Any], str]] = {Collect: "collect"}

    def __init__(self, cell: Cell, root: Any) -> None:
        super().__init__(cell)
        self._root = root

    def collect(self, _message: Collect, _reply: Any) -> ManagerFigures:
        """Copy all blocks; synchronous, so that all figures are of one moment."""
        types: dict[str, TypeState] = self._root.types
        now = self.cell.host.loop.time()
        return ManagerFigures(
            types=tuple(figures(state.pool, now) for state in types.values()),
            supervisors=tuple(
                SupervisorFigures(
                    child.cell.path,
                    child.cell.status == "running",
                    child.log.total,
                    len(child.cell.user) + len(child.cell.control),
                )
                for child in self._root.children.values()
            ),
        )
