"""What a manager without specs leases, and the read-only view of everything by id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from pepperpy_resources.core.snapshot import find_slot, listed_ids
from pepperpy_resources.gates import Gate


class Record(SimpleNamespace):
    """A plain object with the id it was acquired by and the keywords that were given."""

    def __init__(self, resource_id: str, /, **fields: Any) -> None:
        super().__init__(**{"resource_id": resource_id, **fields})


class ResourcesView(Mapping[str, Any]):
    """Resource id -> resource, looked up when asked."""

    def __init__(self, gates: Mapping[str, Gate]) -> None:
        self._gates = gates

    def __getitem__(self, resource_id: str) -> Any:
        if not isinstance(resource_id, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise KeyError(resource_id)
        gate = self._gates[resource_id.partition(":")[0]]
        slot = find_slot(gate.state.pool, resource_id)
        if slot is None:
            raise KeyError(resource_id)
        return gate.state.ledger.entries[slot].resource

    def __iter__(self) -> Iterator[str]:
        for gate in tuple(self._gates.values()):
            yield from listed_ids(gate.state.pool)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<{len(self)} resources>"
