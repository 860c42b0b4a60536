"""Look at a running program: here at itself, or from another shell while it runs.

python examples/looking.py 60 &
pepperpy-resources tree
pepperpy-resources top
"""

import asyncio
import sys
import time  # noqa: TID251 - to hang for a while

from pepperpy_resources import DefaultResourceManager, ResourceSpec
from pepperpy_resources.observe.client import look
from pepperpy_resources.supervision import Actor, ChildSpec, Supervisor, handles


class Order:
    """Something to pay for."""


class Cashier(Actor):
    @handles(Order)
    async def pay(self, _: Order) -> None:
        await asyncio.sleep(600)  # a bank that does not answer


class Printer(Actor):
    @handles(Order)
    def print_receipt(self, _: Order) -> None:
        raise OSError("out of paper")


class Clock(Actor):
    @handles(float)
    def stand_still(self, seconds: float) -> None:
        time.sleep(seconds)  # and with it the whole loop


async def report(manager: DefaultResourceManager) -> None:
    async with manager.lease("db"):
        await asyncio.sleep(600)


async def main(seconds: float) -> None:
    cashier = ChildSpec("cashier", Cashier, stuck_after=0.1)
    staff = Supervisor([cashier, ChildSpec("printer", Printer)])
    shop = Supervisor([ChildSpec("staff", staff), ChildSpec("clock", Clock)], name="shop")
    store = DefaultResourceManager([ResourceSpec("db", factory=dict, max_size=1)], name="store")
    async with store, shop:
        with store.inspect() as inspection, shop.inspect():
            tasks = [asyncio.create_task(report(store), name=f"report-{n}") for n in range(3)]
            for _ in range(2):
                shop.child("staff/cashier").tell(Order())
                shop.child("staff/printer").tell(Order())
            await asyncio.sleep(0.3)
            print(shop.tree())
            view = await asyncio.to_thread(look, str(inspection.path))  # as the commands do
            print([(source.name, source.loop.state) for source in view.sources])
            await asyncio.sleep(seconds / 2)
            await shop.child("clock").ask(seconds / 2)
            for task in tasks:
                task.cancel()
        await shop.stop(timeout=0)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.0))
