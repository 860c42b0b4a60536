"""Be told what happens: the trace of two leases, one of which has to wait."""

import asyncio

from pepperpy_resources import DefaultResourceManager, ResourceEvent, resource_spec

db = resource_spec("db", factory=dict, max_size=1)


def trace(event: ResourceEvent) -> None:
    took = "" if event.seconds is None else f" after {event.seconds * 1000:.1f} ms"
    slot = f"slot {event.slot}" if event.slot else event.resource_type
    print(f"{event.what:<10} {event.resource_id or slot}{took}")


async def main() -> None:
    manager = DefaultResourceManager([db])
    with manager.subscribe(trace, "db"):
        async with manager:

            async def work(name: str) -> None:
                async with manager.lease(f"db:{name}"):
                    await asyncio.sleep(0.01)

            await asyncio.gather(work("report"), work("nightly"))


if __name__ == "__main__":
    asyncio.run(main())
