"""An agent's end over NATS."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from daemon.errors import ConfigError
from daemon.farm.carrier.connect import NatsAddress, NatsConnection, subscribe
from daemon.farm.carrier.ends import OrderHandler
from daemon.farm.carrier.errors import FarmRefused, FarmUnreachable
from daemon.farm.carrier.latest import LatestValue
from daemon.farm.carrier.subjects import (
    ADDRESSEE,
    PRESENCE,
    REFUSED,
    TROUBLE,
    is_printer,
    printer_inbox,
    printer_subject,
)
from daemon.farm.messages import (
    ClaimQuestion,
    CopyQuestion,
    FarmOrder,
    Holdings,
    Offer,
    OrderAnswer,
    Presence,
    Report,
    YesOrNo,
)

MAX_ORDERS = 4  # at once

T = TypeVar("T")
log = structlog.get_logger()


class NatsAgentEnd:
    """An agent's end over NATS (AgentEnd)."""

    def __init__(self, printer: str, address: NatsAddress) -> None:
        """Prepare.

        Args:
            printer: id of the printer.
            address: of NATS. Its inbox is replaced by the printer's own.

        Raises:
            ConfigError: the id or the address is not valid.
        """
        if not is_printer(printer):
            raise ConfigError(f"{printer[:60]!r} is not a valid printer id: use 1 to 32 characters of a-z, 0-9 and -")
        self.on_connect: Callable[[], None] | None = None
        self._printer = printer
        own = NatsAddress(address.urls, address.seed, address.tls, printer_inbox(printer))
        self._connection = NatsConnection(own, f"nozzled agent {printer}", self._set_up)
        self._connection.on_change = self._on_change
        self._offers: LatestValue[Offer] = LatestValue()
        self._handler: OrderHandler | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_connected(self) -> bool:
        """Whether NATS is connected."""
        return self._connection.is_connected

    @property
    def trouble(self) -> str:
        """Why NATS is not connected; empty: it is."""
        return self._connection.trouble

    async def run(self) -> None:
        """Stay connected until cancelled."""
        try:
            await self._connection.run()
        finally:
            for task in [*self._tasks]:
                task.cancel()

    async def receive_offers(self) -> AsyncIterator[Offer | None]:
        """Yield the offers to this printer; None: the last one is withdrawn."""
        while True:
            offer = await self._offers.get()
            yield offer if offer.copy else None

    async def report_presence(self, presence: Presence) -> None:
        """Report the state of the printer."""
        await self._connection.publish(f"{PRESENCE}.{self._printer}", msgspec.json.encode(presence))

    async def fetch_chunk(self, copy: str, attempt: int, offset: int) -> bytes:
        """Return the next bytes of the offered file."""
        message = await self._ask("file", CopyQuestion(copy, attempt, offset))
        if refusal := (message.headers or {}).get(REFUSED):
            raise FarmRefused(refusal)
        return bytes(message.data)

    async def renew(self, copy: str, attempt: int) -> YesOrNo:
        """Ask for a longer lease of the offer."""
        return _decode(await self._ask("renew", CopyQuestion(copy, attempt)), YesOrNo)

    async def claim(self, copy: str, attempt: int, nonce: str) -> YesOrNo:
        """Ask to begin the print."""
        return _decode(await self._ask("claim", ClaimQuestion(copy, attempt, nonce)), YesOrNo)

    async def fetch_holdings(self) -> Holdings:
        """Ask which copies this printer holds, according to the list."""
        return _decode(await self._ask("held", None), Holdings)

    async def report(self, report: Report) -> None:
        """Report the result of a copy."""
        _decode(await self._ask("report", report), YesOrNo)

    def set_order_handler(self, handler: OrderHandler) -> None:
        """Set the handler that answers orders."""
        self._handler = handler

    # -- the connection ----------------------------------------------------------------------------------------------

    async def _ask(self, kind: str, question: Any) -> Msg:
        body = b"" if question is None else msgspec.json.encode(question)
        answer = await self._connection.ask(printer_subject(kind, self._printer), body)
        if trouble := (answer.headers or {}).get(TROUBLE):
            raise FarmUnreachable(f"the farm's server is in trouble: {trouble}")
        return answer

    async def _set_up(self, client: Client) -> None:
        await subscribe(client, printer_subject("offer", self._printer), self._on_offer)
        await subscribe(client, printer_subject("order", self._printer), self._on_order)

    def _on_change(self) -> None:
        if not self._connection.is_connected:
            return
        if self.on_connect is not None:
            self.on_connect()

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _on_offer(self, message: Msg) -> None:
        if (message.headers or {}).get(ADDRESSEE) != self._printer:
            log.warning("farm.offer_not_ours", consequence="it is not taken")
            return
        try:
            self._offers.put(msgspec.json.decode(message.data, type=Offer))
        except msgspec.MsgspecError as error:
            log.warning("farm.offer_unreadable", reason=str(error))

    async def _on_order(self, message: Msg) -> None:
        """Carry out an order in a task of its own: a cancel does not wait for a picture, which takes seconds."""
        try:
            order = msgspec.json.decode(message.data, type=FarmOrder)
        except msgspec.MsgspecError as error:
            log.warning("farm.order_unreadable", reason=str(error))
            await self._answer(message, OrderAnswer(ok=False, reason=f"the agent cannot read this order: {error}"))
            return
        if len(self._tasks) >= MAX_ORDERS:
            await self._answer(message, OrderAnswer(ok=False, reason="the agent is busy with other orders"))
        else:
            self._begin(self._obey(message, order))

    async def _obey(self, message: Msg, order: FarmOrder) -> None:
        if self._handler is None:
            answer = OrderAnswer(ok=False, reason="the agent has only just started")
        else:
            try:
                answer = await self._handler(order)
            except Exception as error:
                log.exception("farm.order_failed", verb=order.verb)
                answer = OrderAnswer(ok=False, reason=f"the agent failed: {error}; its log says why")
        await self._answer(message, answer)

    async def _answer(self, message: Msg, answer: OrderAnswer) -> None:
        if not message.reply:
            return
        try:
            await self._connection.publish(message.reply, msgspec.json.encode(answer))
        except FarmUnreachable as error:
            log.warning("farm.order_unanswered", reason=str(error))


def _decode(message: Msg, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(message.data, type=kind)
    except msgspec.MsgspecError as error:
        raise FarmUnreachable(f"cannot read the server's answer: {error}") from error
