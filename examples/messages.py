"""Tell and ask the supervising actor: from the loop, and from a thread."""

import asyncio

from pepperpy_resources import DefaultResourceManager, resource_spec
from pepperpy_resources.messages import Acquire, Describe, Release


class Client:
    """Something slow to make."""


async def connect() -> Client:
    await asyncio.sleep(0.01)
    return Client()


async def main() -> None:
    async with DefaultResourceManager([resource_spec("http", factory=connect)]) as manager:
        http = manager.actor("http")

        lease = await http.ask(Acquire("http:report-7"))
        print(lease.resource_id, type(lease.resource).__name__)
        http.tell(Release(lease.resource_id, lease.epoch))

        def from_a_thread() -> int:
            borrowed = http.ask(Acquire("http:nightly", timeout=2.0)).get(timeout=5)
            http.tell(Release(borrowed.resource_id, borrowed.epoch))
            return borrowed.epoch

        print("epoch", await asyncio.to_thread(from_a_thread))
        print((await http.ask(Describe())).slots["idle"], "idle")


if __name__ == "__main__":
    asyncio.run(main())
