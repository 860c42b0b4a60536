"""Resource types declared in a TOML file, with the factories and hooks of this module."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from pepperpy_resources import DefaultResourceManager
from pepperpy_resources.spec_file import load_specs

POOL = Path(__file__).with_name("pool.toml")


class Connection:
    async def close(self) -> None: ...

    async def ping(self) -> bool:
        return True

    async def rollback(self) -> None: ...

    async def greet(self) -> None: ...


class Vault:
    password = "made up"  # noqa: S105 - an example


async def connect() -> Connection:
    return Connection()


async def session(resource_id: str, **options: Any) -> dict[str, Any]:
    return {"user": resource_id.partition(":")[2], **options}


def scratch_file() -> sqlite3.Connection:
    return sqlite3.connect(":memory:")


def is_connection_error(error: BaseException) -> bool:
    return isinstance(error, ConnectionError)


async def main() -> None:
    async with DefaultResourceManager(load_specs(POOL)) as manager:
        async with manager.lease("db") as connection:
            print("leased a", type(connection).__name__)
        async with manager.lease("session:ada") as opened:
            print("a session of", opened["user"])
        async with manager.lease("file") as scratch:
            print("a file:", type(scratch).__name__)


if __name__ == "__main__":
    asyncio.run(main())
