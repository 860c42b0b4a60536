"""Three ordinary actors under a supervisor, no resources: one fails, and its group starts anew."""

import asyncio

import msgspec

from pepperpy_resources import Actor, ChildSpec, Supervisor, handles
from pepperpy_resources.errors import ActorDead
from pepperpy_resources.supervision import ActorHandle, Down


class Price(msgspec.Struct, frozen=True):
    of: str


class Store(msgspec.Struct, frozen=True):
    of: str
    price: float


class Total(msgspec.Struct, frozen=True):
    pass


class Ledger(Actor):
    """Keeps what was stored; it lives as long as nothing before it fails."""

    def on_start(self) -> None:
        self.prices: dict[str, float] = {}

    @handles(Store)
    def store(self, message: Store) -> int:
        self.prices[message.of] = message.price
        return len(self.prices)

    @handles(Total)
    def total(self, _message: Total) -> float:
        return sum(self.prices.values())


class Quotes(Actor):
    """Looks prices up, one after the other, without holding up anybody else."""

    @handles(Price)
    async def price(self, message: Price) -> float:
        await asyncio.sleep(0.01)  # a request to some server
        return {"apple": 0.5, "pear": 0.75}[message.of]  # a KeyError is a crash


class Buyer(Actor):
    """Asks the one, tells the other, and hears of the end of the first."""

    def __init__(self, quotes: str, ledger: str, supervisor: Supervisor) -> None:
        super().__init__()
        self.quotes: ActorHandle = supervisor.child(quotes)
        self.ledger: ActorHandle = supervisor.child(ledger)

    def on_start(self) -> None:
        self.watch(self.quotes)

    @handles(Price)
    async def buy(self, message: Price) -> float:
        price: float = await self.quotes.ask(message, timeout=1.0)
        self.ledger.tell(Store(message.of, price))
        return price

    @handles(Down)
    def gone(self, message: Down) -> None:
        print(f"{message.path} ended: {message.exit.reason}, in {message.exit.message}")
        self.watch(self.quotes)


async def main() -> None:
    supervisor = Supervisor(
        [ChildSpec("ledger", Ledger), ChildSpec("quotes", Quotes)], name="market"
    )
    async with supervisor:
        buyer = await supervisor.start_child(
            ChildSpec("buyer", Buyer, args=("quotes", "ledger", supervisor))
        )
        print("apple", await buyer.ask(Price("apple")))
        try:
            await supervisor.child("quotes").ask(Price("plum"))
        except ActorDead as error:
            print(f"no plum: {error.__cause__!r}")
        print("pear", await buyer.ask(Price("pear")))  # asked of the next incarnation
        print("total", await supervisor.child("ledger").ask(Total()))
        for child in await supervisor.which_children():
            print(f"{child.id:<8} {child.phase:<5} restarts {child.restarts}")


if __name__ == "__main__":
    asyncio.run(main())
