"""The way in memory, with whatever NATS and a network may do to a message; for tests and simulations."""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import structlog

from daemon.farm.carrier.ends import ORDER_PATIENCE, PATIENCE, Duties, OrderHandler
from daemon.farm.carrier.errors import FarmRefused, FarmUnreachable
from daemon.farm.carrier.latest import Latest
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
    """How often something befalls a message, from 0 to 1, and how late it may be, in s."""

    lost: float = 0.0
    answer_lost: float = 0.0
    repeated: float = 0.0
    late: float = 0.0
    latest: float = 20.0
    delay: float = 0.002


NO_FAULTS = FarmFaults()


class FarmInMemory:
    """Stands in for NATS.

    Attributes:
        kept_files: as the object store has them.
        kept_failures: the stream FAILED.
        running: NATS is up.
    """

    def __init__(self, faults: FarmFaults = NO_FAULTS, seed: int = 0) -> None:
        """Begin without anybody.

        Args:
            faults: what befalls messages; may be changed at any time.
            seed: of chance.
        """
        self.faults = faults
        self.kept_files: dict[str, bytes] = {}
        self.kept_failures: deque[FailedCopy] = deque(maxlen=1000)
        self.kept_presences: dict[str, Presence] = {}
        self.running = True
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self._cut: set[str] = set()
        self._agents: dict[str, MemoryAgentEnd] = {}
        self._servers: list[MemoryServerEnd] = []
        self._turns = count()
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- for tests ---------------------------------------------------------------------------------------------------

    def agent(self, printer: str) -> "MemoryAgentEnd":
        """Return a new end of this printer's; the one before it hears nothing any more."""
        self._agents[printer] = made = MemoryAgentEnd(self, printer)
        return made

    def server(self) -> "MemoryServerEnd":
        """Return another end for a server; several share the questions."""
        return MemoryServerEnd(self)

    def cut(self, printer: str) -> None:
        """Cut a printer's network."""
        self._cut.add(printer)

    def mend(self, printer: str) -> None:
        """Mend it."""
        self._cut.discard(printer)
        self._tell(printer)

    def stop(self) -> None:
        """Stop NATS."""
        self.running = False

    def start(self) -> None:
        """Start it; what was on its disk is there again, presences are not."""
        self.running = True
        self.kept_presences.clear()
        for printer in self._agents:
            self._tell(printer)
        for server in self._servers:
            self.begin(server.told())

    # -- for the ends ------------------------------------------------------------------------------------------------

    def reachable(self, printer: str) -> bool:
        """Tell whether a printer's agent reaches NATS."""
        return self.running and printer not in self._cut

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        """Have something done meanwhile."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(self, printer: str) -> None:
        agent = self._agents.get(printer)
        if agent is not None and self.reachable(printer):
            agent.told()

    def happens(self, probability: float) -> bool:
        """Tell whether a fault befalls this message."""
        return probability > 0 and self._chance.random() < probability

    def delay(self) -> float:
        """Return how long a message takes."""
        faults = self.faults
        return self._chance.uniform(0, faults.latest) if self.happens(faults.late) else faults.delay

    async def to_server(self, printer: str, ask: Callable[[Duties], Awaitable[T]], *, within: float = PATIENCE) -> T:
        """Ask one of the servers; raises FarmUnreachable."""
        try:
            async with asyncio.timeout(within):
                return await self._question(printer, self._server(ask), lambda: self.reachable(printer))
        except TimeoutError:
            raise FarmUnreachable(f"{printer}: the farm's server did not answer within {within:g} s") from None

    def _server(self, ask: Callable[[Duties], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
        async def asked() -> T:
            duties = [server.duties for server in self._servers if server.duties is not None]
            if not duties:
                await asyncio.Event().wait()
            return await ask(duties[next(self._turns) % len(duties)])  # the queue group

        return asked

    async def to_agent(self, printer: str, order: FarmOrder, within: float) -> OrderAnswer:
        """Ask an agent; raises FarmUnreachable."""

        async def asked() -> OrderAnswer:
            agent = self._agents.get(printer)
            if agent is None or agent.handler is None or not agent.running:
                await asyncio.Event().wait()
                raise AssertionError
            return await agent.handler(order)

        try:
            async with asyncio.timeout(within):
                return await self._question(printer, asked, lambda: self.reachable(printer))
        except TimeoutError:
            raise FarmUnreachable(f"{printer}: its agent did not answer within {within:g} s") from None

    async def _question(self, printer: str, asked: Callable[[], Awaitable[T]], reachable: Callable[[], bool]) -> T:
        """Bring a question, and its answer; whoever asked may be gone before it is answered, or asked."""
        if not reachable():
            raise FarmUnreachable(f"{printer}: not connected to NATS")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        times = 0 if self.happens(self.faults.lost) else 2 if self.happens(self.faults.repeated) else 1
        for _ in range(times):
            self.begin(self._bring(printer, asked, answer, reachable))
        return await answer

    async def _bring(
        self,
        printer: str,
        asked: Callable[[], Awaitable[T]],
        answer: "asyncio.Future[T]",
        reachable: Callable[[], bool],
    ) -> None:
        await asyncio.sleep(self.delay())
        if not reachable():
            return
        failure: Exception | None = None
        try:
            async with asyncio.timeout(PATIENCE * 4):
                found = await asked()
        except TimeoutError:
            return
        except FarmRefused as error:
            failure = error
        except Exception as error:
            log.exception("farm.not_answered", printer=printer)
            failure = FarmUnreachable(f"the farm's server is in trouble: {error}")
        await asyncio.sleep(self.delay())
        if answer.done() or not reachable() or self.happens(self.faults.answer_lost):
            return
        if failure is not None:
            answer.set_exception(failure)
        else:
            answer.set_result(found)

    def announce(self, printer: str, presence: Presence) -> None:
        """Bring a presence."""
        if not self.reachable(printer) or self.happens(self.faults.lost):
            return
        self.kept_presences[printer] = presence
        for server in self._servers:
            self.begin(self._later(server, printer, presence))

    async def _later(self, server: "MemoryServerEnd", printer: str, presence: Presence) -> None:
        await asyncio.sleep(self.delay())
        if self.running:
            await server.heard(printer, presence)

    def hold_out(self, printer: str, offer: Offer) -> None:
        """Keep an offer and bring it, if it is not lost."""
        if not self.running:
            raise FarmUnreachable("NATS does not answer")
        agent = self._agents.get(printer)
        if agent is not None and not self.happens(self.faults.lost):
            asyncio.get_running_loop().call_later(self.delay(), self._bring_offer, agent, offer)

    def _bring_offer(self, agent: "MemoryAgentEnd", offer: Offer) -> None:
        if self.reachable(agent.printer):
            agent.offered(offer)

    def enter(self, server: "MemoryServerEnd") -> None:
        """Take in a server that runs."""
        self._servers.append(server)

    def leave(self, server: "MemoryServerEnd") -> None:
        """Forget one that has ended."""
        self._servers.remove(server)


class MemoryAgentEnd:
    """An agent's end in memory (AgentEnd)."""

    def __init__(self, farm: FarmInMemory, printer: str) -> None:
        self.printer = printer
        self.on_connect: Callable[[], None] | None = None
        self.handler: OrderHandler | None = None
        self.running = False
        self._farm = farm
        self._offers: Latest[Offer] = Latest()

    @property
    def connected(self) -> bool:
        """Whether NATS is reached."""
        return self.running and self._farm.reachable(self.printer)

    @property
    def trouble(self) -> str:
        """Why not."""
        return "" if self.connected else "NATS is not reached"

    async def run(self) -> None:
        """Be connected until cancelled."""
        self.running = True
        try:
            if self._farm.reachable(self.printer):
                self.told()
            await asyncio.Event().wait()
        finally:
            self.running = False

    def told(self) -> None:
        """Be connected anew."""
        if self.running and self.on_connect is not None:
            self.on_connect()

    def offered(self, offer: Offer) -> None:
        """Take what is held out."""
        if self.running:
            self._offers.put(offer)

    async def offers(self) -> AsyncIterator[Offer | None]:
        """Yield what is held out, each time that it changes."""
        while True:
            offer = await self._offers.get()
            yield offer if offer.copy else None

    async def present(self, presence: Presence) -> None:
        """Say how the printer is."""
        if not self.connected:
            raise FarmUnreachable(f"{self.printer}: not connected to NATS")
        self._farm.announce(self.printer, presence)

    async def file(self, copy: str, attempt: int, offset: int) -> bytes:
        """Return the next bytes of the offered file."""
        question = CopyQuestion(copy, attempt, offset)
        return await self._farm.to_server(self.printer, lambda duties: duties.file(self.printer, question))

    async def renew(self, copy: str, attempt: int) -> YesOrNo:
        """Ask for more time."""
        question = CopyQuestion(copy, attempt)
        return await self._farm.to_server(self.printer, lambda duties: duties.renew(self.printer, question))

    async def claim(self, copy: str, attempt: int, nonce: str) -> YesOrNo:
        """Ask to begin."""
        question = ClaimQuestion(copy, attempt, nonce)
        return await self._farm.to_server(self.printer, lambda duties: duties.claim(self.printer, question))

    async def held(self) -> Holdings:
        """Ask what this printer holds."""
        return await self._farm.to_server(self.printer, lambda duties: duties.held(self.printer))

    async def report(self, report: Report) -> None:
        """Say what became of a copy."""
        await self._farm.to_server(self.printer, lambda duties: duties.report(self.printer, report))

    def orders(self, handler: OrderHandler) -> None:
        """Have orders answered by this."""
        self.handler = handler


class MemoryServerEnd:
    """A server's end in memory (ServerEnd)."""

    def __init__(self, farm: FarmInMemory) -> None:
        self.presences: dict[str, Presence] = {}
        self.duties: Duties | None = None
        self._farm = farm

    @property
    def connected(self) -> bool:
        """Whether NATS is there."""
        return self.duties is not None and self._farm.running

    @property
    def trouble(self) -> str:
        """Why not."""
        return "" if self.connected else "NATS is not reached"

    async def run(self, duties: Duties) -> None:
        """Answer until cancelled."""
        self.duties = duties
        self._farm.enter(self)
        try:
            if self._farm.running:
                await self.told()
            await asyncio.Event().wait()
        finally:
            self.duties = None
            self._farm.leave(self)

    async def told(self) -> None:
        """Be connected anew."""
        if self.duties is not None:
            await self.duties.connected()
            for printer, presence in [*self._farm.kept_presences.items()]:
                await self.heard(printer, presence)

    async def heard(self, printer: str, presence: Presence) -> None:
        """Hear a presence."""
        self.presences[printer] = presence
        if self.duties is not None:
            await self.duties.heard(printer, presence)

    async def offer(self, printer: str, offer: Offer) -> None:
        """Hold a copy out to a printer."""
        self._farm.hold_out(printer, offer)

    async def withdraw(self, printer: str) -> None:
        """Take back what is held out to it."""
        self._farm.hold_out(printer, Offer())

    async def order(self, printer: str, order: FarmOrder, within: float = ORDER_PATIENCE) -> OrderAnswer:
        """Have an agent do something at once."""
        if not self.connected:
            raise FarmUnreachable(f"{printer} is not reached: {self.trouble}")
        return await self._farm.to_agent(printer, order, within)

    async def failed(self, printer: str, failed: FailedCopy) -> None:  # noqa: ARG002 - the subject's
        """Keep what was not printed."""
        if not self._farm.running:
            raise FarmUnreachable("NATS does not answer")
        self._farm.kept_failures.append(failed)

    async def put_file(self, sha256: str, path: Path) -> None:
        """Keep a file."""
        if not self._farm.running:
            raise FarmUnreachable("NATS does not answer")
        self._farm.kept_files[sha256] = await asyncio.to_thread(path.read_bytes)

    async def get_file(self, sha256: str, path: Path) -> None:
        """Write a kept file to a path."""
        if not self._farm.running:
            raise FarmUnreachable("NATS does not answer")
        if sha256 not in self._farm.kept_files:
            raise FarmRefused(f"there is no file {sha256[:12]}… in the object store")
        await asyncio.to_thread(path.write_bytes, self._farm.kept_files[sha256])

    async def remove_file(self, sha256: str) -> None:
        """Forget a file."""
        self._farm.kept_files.pop(sha256, None)
