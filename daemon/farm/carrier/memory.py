"""The connection in memory, with all that NATS and a network may do to a message; for tests and simulations."""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import structlog

from daemon.farm.carrier.ends import ANSWER_TIMEOUT, ORDER_TIMEOUT, Duties, OrderHandler
from daemon.farm.carrier.errors import FarmRefused, FarmUnreachable
from daemon.farm.carrier.latest import LatestValue
from daemon.farm.messages import (
    ClaimQuestion,
    CopyQuestion,
    FailedCopy,
    FarmOrder,
    Holdings,
    Offer,
    OrderAnswer,
    Presence,
    Report,
    YesOrNo,
)
from gcode.frozen import frozen

T = TypeVar("T")

log = structlog.get_logger()


@frozen
class FarmFaults:
    """Faults of the network.

    Attributes:
        loss, answer_loss, repetition, lateness: the probability of each fault, for each message.
        max_delay: of a late message, in s.
        delay: of any other message, in s.
    """

    loss: float = 0.0
    answer_loss: float = 0.0
    repetition: float = 0.0
    lateness: float = 0.0
    max_delay: float = 20.0
    delay: float = 0.002


NO_FAULTS = FarmFaults()


class FarmInMemory:
    """Stands in for NATS.

    Attributes:
        faults: may be changed at any time.
        files: the object store.
        failures: the stream FAILED.
        presences: the bucket of presences.
        running: whether NATS runs.
    """

    def __init__(self, faults: FarmFaults = NO_FAULTS, seed: int = 0) -> None:
        """Prepare; no agent and no server is connected.

        Args:
            faults: of the network.
            seed: of the random numbers that decide about faults.
        """
        self.faults = faults
        self.files: dict[str, bytes] = {}
        self.failures: deque[FailedCopy] = deque(maxlen=1000)
        self.presences: dict[str, Presence] = {}
        self.running = True
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self._cut: set[str] = set()
        self._agents: dict[str, MemoryAgentEnd] = {}
        self._servers: list[MemoryServerEnd] = []
        self._turns = count()
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- for tests ---------------------------------------------------------------------------------------------------

    def agent(self, printer: str) -> "MemoryAgentEnd":
        """Return a new end for a printer's agent. The printer's earlier end gets no more messages."""
        self._agents[printer] = end = MemoryAgentEnd(self, printer)
        return end

    def server(self) -> "MemoryServerEnd":
        """Return a new end for a server; several servers share the questions."""
        return MemoryServerEnd(self)

    def cut(self, printer: str) -> None:
        """Cut a printer's network."""
        self._cut.add(printer)

    def mend(self, printer: str) -> None:
        """Mend a printer's network."""
        self._cut.discard(printer)
        self._connect(printer)

    def stop(self) -> None:
        """Stop NATS."""
        self.running = False

    def start(self) -> None:
        """Start NATS: files and failures were on its disk, presences are gone."""
        self.running = True
        self.presences.clear()
        for printer in self._agents:
            self._connect(printer)
        for server in self._servers:
            self.begin(server.on_connected())

    # -- for the ends ------------------------------------------------------------------------------------------------

    def reachable(self, printer: str) -> bool:
        """Tell whether a printer's agent reaches NATS."""
        return self.running and printer not in self._cut

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine in a task of its own."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _connect(self, printer: str) -> None:
        agent = self._agents.get(printer)
        if agent is not None and self.reachable(printer):
            agent.on_connected()

    def happens(self, probability: float) -> bool:
        """Decide by chance whether a fault of this probability happens now."""
        return probability > 0 and self._chance.random() < probability

    def draw_delay(self) -> float:
        """Return how long a message takes, by chance, in s."""
        faults = self.faults
        return self._chance.uniform(0, faults.max_delay) if self.happens(faults.lateness) else faults.delay

    async def ask_server(
        self, printer: str, ask: Callable[[Duties], Awaitable[T]], *, within: float = ANSWER_TIMEOUT
    ) -> T:
        """Ask one of the servers; raises FarmUnreachable."""
        try:
            async with asyncio.timeout(within):
                return await self._exchange(printer, self._ask_in_turn(ask), lambda: self.reachable(printer))
        except TimeoutError:
            raise FarmUnreachable(f"the farm's server did not answer {printer} within {within:g} s") from None

    def _ask_in_turn(self, ask: Callable[[Duties], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
        """Return a function that asks the server whose turn it is; without a server it waits for ever."""

        async def deliver() -> T:
            duties = [server.duties for server in self._servers if server.duties is not None]
            if not duties:
                await asyncio.Event().wait()
            return await ask(duties[next(self._turns) % len(duties)])  # the queue group

        return deliver

    async def ask_agent(self, printer: str, order: FarmOrder, within: float) -> OrderAnswer:
        """Ask an agent; raises FarmUnreachable."""

        async def deliver() -> OrderAnswer:
            agent = self._agents.get(printer)
            if agent is None or agent.handler is None or not agent.running:
                await asyncio.Event().wait()
                raise AssertionError  # never reached, but mypy does not know that
            return await agent.handler(order)

        try:
            async with asyncio.timeout(within):
                return await self._exchange(printer, deliver, lambda: self.reachable(printer))
        except TimeoutError:
            raise FarmUnreachable(f"{printer}: its agent did not answer within {within:g} s") from None

    async def _exchange(self, printer: str, ask: Callable[[], Awaitable[T]], reachable: Callable[[], bool]) -> T:
        """Deliver a question and its answer; the caller may be cancelled before either arrives."""
        if not reachable():
            raise FarmUnreachable(f"{printer}: not connected to NATS")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        times = 0 if self.happens(self.faults.loss) else 2 if self.happens(self.faults.repetition) else 1
        for _ in range(times):
            self.begin(self._deliver(printer, ask, answer, reachable))
        return await answer

    async def _deliver(
        self,
        printer: str,
        ask: Callable[[], Awaitable[T]],
        answer: "asyncio.Future[T]",
        reachable: Callable[[], bool],
    ) -> None:
        await asyncio.sleep(self.draw_delay())
        if not reachable():
            return
        failure: Exception | None = None
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT * 4):
                result = await ask()
        except TimeoutError:
            return
        except FarmRefused as error:
            failure = error
        except Exception as error:
            log.exception("farm.not_answered", printer=printer)
            failure = FarmUnreachable(f"the farm's server is in trouble: {error}")
        await asyncio.sleep(self.draw_delay())
        if answer.done() or not reachable() or self.happens(self.faults.answer_loss):
            return
        if failure is not None:
            answer.set_exception(failure)
        else:
            answer.set_result(result)

    def deliver_to_servers(self, printer: str, presence: Presence) -> None:
        """Deliver a presence to all servers."""
        if not self.reachable(printer) or self.happens(self.faults.loss):
            return
        self.presences[printer] = presence
        for server in self._servers:
            self.begin(self._deliver_presence(server, printer, presence))

    async def _deliver_presence(self, server: "MemoryServerEnd", printer: str, presence: Presence) -> None:
        await asyncio.sleep(self.draw_delay())
        if self.running:
            await server.on_presence(printer, presence)

    def send_offer(self, printer: str, offer: Offer) -> None:
        """Deliver an offer to a printer's agent, unless it is lost."""
        if not self.running:
            raise FarmUnreachable("NATS does not answer")
        agent = self._agents.get(printer)
        if agent is not None and not self.happens(self.faults.loss):
            asyncio.get_running_loop().call_later(self.draw_delay(), self._deliver_offer, agent, offer)

    def _deliver_offer(self, agent: "MemoryAgentEnd", offer: Offer) -> None:
        if self.reachable(agent.printer):
            agent.take_offer(offer)

    def add_server(self, server: "MemoryServerEnd") -> None:
        """Add a server that has started."""
        self._servers.append(server)

    def remove_server(self, server: "MemoryServerEnd") -> None:
        """Remove a server that has ended."""
        self._servers.remove(server)


class MemoryAgentEnd:
    """An agent's end in memory (AgentEnd)."""

    def __init__(self, farm: FarmInMemory, printer: str) -> None:
        self.printer = printer
        self.on_connect: Callable[[], None] | None = None
        self.handler: OrderHandler | None = None
        self.running = False
        self._farm = farm
        self._offers: LatestValue[Offer] = LatestValue()

    @property
    def is_connected(self) -> bool:
        """Whether NATS is connected."""
        return self.running and self._farm.reachable(self.printer)

    @property
    def trouble(self) -> str:
        """Why NATS is not connected; empty: it is."""
        return "" if self.is_connected else "cannot reach NATS"

    async def run(self) -> None:
        """Stay connected until cancelled."""
        self.running = True
        try:
            if self._farm.reachable(self.printer):
                self.on_connected()
            await asyncio.Event().wait()
        finally:
            self.running = False

    def on_connected(self) -> None:
        """Take note of a new connection."""
        if self.running and self.on_connect is not None:
            self.on_connect()

    def take_offer(self, offer: Offer) -> None:
        """Take an offer."""
        if self.running:
            self._offers.put(offer)

    async def receive_offers(self) -> AsyncIterator[Offer | None]:
        """Yield the offers to this printer; None: the last one is withdrawn."""
        while True:
            offer = await self._offers.get()
            yield offer if offer.copy else None

    async def report_presence(self, presence: Presence) -> None:
        """Report the state of the printer."""
        if not self.is_connected:
            raise FarmUnreachable(f"{self.printer}: not connected to NATS")
        self._farm.deliver_to_servers(self.printer, presence)

    async def fetch_chunk(self, copy: str, attempt: int, offset: int) -> bytes:
        """Return the next bytes of the offered file."""
        question = CopyQuestion(copy, attempt, offset)
        return await self._farm.ask_server(self.printer, lambda duties: duties.read_chunk(self.printer, question))

    async def renew(self, copy: str, attempt: int) -> YesOrNo:
        """Ask for a longer lease of the offer."""
        question = CopyQuestion(copy, attempt)
        return await self._farm.ask_server(self.printer, lambda duties: duties.renew(self.printer, question))

    async def claim(self, copy: str, attempt: int, nonce: str) -> YesOrNo:
        """Ask to begin the print."""
        question = ClaimQuestion(copy, attempt, nonce)
        return await self._farm.ask_server(self.printer, lambda duties: duties.claim(self.printer, question))

    async def fetch_holdings(self) -> Holdings:
        """Ask which copies this printer holds, according to the list."""
        return await self._farm.ask_server(self.printer, lambda duties: duties.find_holdings(self.printer))

    async def report(self, report: Report) -> None:
        """Report the result of a copy."""
        await self._farm.ask_server(self.printer, lambda duties: duties.report(self.printer, report))

    def set_order_handler(self, handler: OrderHandler) -> None:
        """Set the handler that answers orders."""
        self.handler = handler


class MemoryServerEnd:
    """A server's end in memory (ServerEnd)."""

    def __init__(self, farm: FarmInMemory) -> None:
        self.presences: dict[str, Presence] = {}
        self.duties: Duties | None = None
        self._farm = farm

    @property
    def is_connected(self) -> bool:
        """Whether NATS is connected."""
        return self.duties is not None and self._farm.running

    @property
    def trouble(self) -> str:
        """Why NATS is not connected; empty: it is."""
        return "" if self.is_connected else "cannot reach NATS"

    async def run(self, duties: Duties) -> None:
        """Answer until cancelled."""
        self.duties = duties
        self._farm.add_server(self)
        try:
            if self._farm.running:
                await self.on_connected()
            await asyncio.Event().wait()
        finally:
            self.duties = None
            self._farm.remove_server(self)

    async def on_connected(self) -> None:
        """Take note of a new connection, and of the presences that NATS has stored."""
        if self.duties is not None:
            for printer, presence in [*self._farm.presences.items()]:
                await self.on_presence(printer, presence)
            await self.duties.on_connected()

    async def on_presence(self, printer: str, presence: Presence) -> None:
        """Take note of a presence."""
        self.presences[printer] = presence
        if self.duties is not None:
            await self.duties.on_presence(printer, presence)

    async def offer(self, printer: str, offer: Offer) -> None:
        """Offer a copy to a printer."""
        self._farm.send_offer(printer, offer)

    async def withdraw(self, printer: str) -> None:
        """Withdraw the last offer to a printer."""
        self._farm.send_offer(printer, Offer())

    async def order(self, printer: str, order: FarmOrder, within: float = ORDER_TIMEOUT) -> OrderAnswer:
        """Send an order to an agent, and return its answer."""
        if not self.is_connected:
            raise FarmUnreachable(f"cannot reach {printer}: {self.trouble}")
        return await self._farm.ask_agent(printer, order, within)

    async def store_failed(self, printer: str, copy: FailedCopy) -> None:  # noqa: ARG002 - only NATS needs it
        """Store a failed copy."""
        if not self._farm.running:
            raise FarmUnreachable("NATS does not answer")
        self._farm.failures.append(copy)

    async def put_file(self, sha256: str, path: Path) -> None:
        """Store a file."""
        if not self._farm.running:
            raise FarmUnreachable("NATS does not answer")
        self._farm.files[sha256] = await asyncio.to_thread(path.read_bytes)

    async def get_file(self, sha256: str, path: Path) -> None:
        """Write a stored file to a path."""
        if not self._farm.running:
            raise FarmUnreachable("NATS does not answer")
        if sha256 not in self._farm.files:
            raise FarmRefused(f"there is no file {sha256[:12]}… in the object store")
        await asyncio.to_thread(path.write_bytes, self._farm.files[sha256])

    async def remove_file(self, sha256: str) -> None:
        """Delete a stored file."""
        self._farm.files.pop(sha256, None)

    async def remove_leftovers(self) -> int:
        """Do nothing: a file is stored in one step here."""
        if not self._farm.running:
            raise FarmUnreachable("NATS does not answer")
        return 0
