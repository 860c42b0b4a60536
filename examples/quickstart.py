"""Lease real SQLite connections from twenty tasks, and look at the tree while they work."""

import asyncio
import sqlite3
import tempfile
from pathlib import Path

from pepperpy_resources import DefaultResourceManager, resource_spec

FILE = Path(tempfile.mkdtemp()) / "example.db"


def connect() -> sqlite3.Connection:
    return sqlite3.connect(FILE, check_same_thread=False)


def is_alive(connection: sqlite3.Connection) -> None:
    connection.execute("select 1")


db = resource_spec(
    "db",
    factory=connect,
    check=is_alive,
    close=sqlite3.Connection.close,
    max_size=4,
)


async def main() -> None:
    async with DefaultResourceManager([db]) as manager:
        connections = manager.type(db)  # typed: leases give a sqlite3.Connection

        async def work(number: int) -> int:
            async with connections.lease() as connection:
                await asyncio.sleep(0.001)
                (answer,) = connection.execute("select ? * ?", (number, number)).fetchone()
                return int(answer)

        answers = await asyncio.gather(*[work(number) for number in range(20)])
        print(answers)
        print(manager.tree())


if __name__ == "__main__":
    asyncio.run(main())
