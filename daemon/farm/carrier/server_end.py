"""The server's end over NATS."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from daemon.farm.carrier import files
from daemon.farm.carrier.connect import FAILURES, NatsAddress, NatsConnection, subscribe
from daemon.farm.carrier.ending import in_time
from daemon.farm.carrier.ends import ORDER_PATIENCE, Duties
from daemon.farm.carrier.errors import FarmRefused, FarmUnreachable
from daemon.farm.carrier.rates import PrinterRates
from daemon.farm.carrier.streams import make
from daemon.farm.carrier.subjects import (
    MEANT_FOR,
    MESSAGE_ID,
    PRESENCE,
    PRESENCE_BUCKET,
    QUEUE,
    REFUSED,
    SERVER_INBOX,
    TROUBLE,
    is_below,
    is_own_inbox,
    is_printer,
    of,
    sender,
    site_inbox,
)
from daemon.farm.messages import (
    ClaimQuestion,
    CopyQuestion,
    FailedCopy,
    FarmOrder,
    Offer,
    OrderAnswer,
    Presence,
    Report,
)
from daemon.log import Limiter

MOST_AT_ONCE = 64  # questions that are being answered; more wait for their turn, and longest for no more than …
ANSWERING = 4.0  # s: whoever asked gives up after 5
LOOKING = 20.0  # s for the presences of a whole farm
LARGEST = 16 << 10  # bytes of what a printer says
MOST_PRINTERS = 20_000
PRESENCE_RATE, PRESENCE_BURST = 2.0, 20.0  # a second and printer
QUESTION_RATE, QUESTION_BURST = 50.0, 200.0  # 25 MB of G-code a second

AnswerSite = Callable[[str, str, bytes], Awaitable[bytes]]
"""Answers a site: its id, the kind of its question, and the body; raises FarmRefused."""

log = structlog.get_logger()


class NatsServerEnd:
    """What the farm's server has of NATS (ServerEnd).

    Attributes:
        presences: what each printer said last.
        sites: whose questions are heard, and answered by …
        answer_site: this; both are set before `run`.
        differing: what the streams have otherwise than this version makes them; a sentence each.
    """

    def __init__(self, address: NatsAddress, name: str = "nozzled farm") -> None:
        """Prepare.

        Args:
            address: of NATS; the inbox is the server's own, whatever it says.
            name: for the log of NATS.
        """
        self.presences: dict[str, Presence] = {}
        self.sites: tuple[str, ...] = ()
        self.answer_site: AnswerSite | None = None
        self.differing: list[str] = []
        own = NatsAddress(address.urls, address.seed, address.tls, SERVER_INBOX)
        self._line = NatsConnection(own, name, self._set_up)
        self._line.on_change = self._changed
        self._duties: Duties | None = None
        self._rates = {
            "presence": PrinterRates(PRESENCE_RATE, PRESENCE_BURST),
            "": PrinterRates(QUESTION_RATE, QUESTION_BURST),
        }
        self._limit = Limiter(most=5, period=60)
        self._room = asyncio.Semaphore(MOST_AT_ONCE)
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def connected(self) -> bool:
        """Whether NATS is there."""
        return self._line.connected

    @property
    def trouble(self) -> str:
        """Why not."""
        return self._line.trouble

    async def run(self, duties: Duties) -> None:
        """Stay connected and answer, until cancelled."""
        self._duties = duties
        try:
            await self._line.run()
        finally:
            for task in [*self._tasks]:
                task.cancel()

    # -- telling -----------------------------------------------------------------------------------------------------

    async def offer(self, printer: str, offer: Offer) -> None:
        """Hold a copy out to a printer."""
        await self._line.publish(of("offer", printer), msgspec.json.encode(offer), {MEANT_FOR: printer})

    async def withdraw(self, printer: str) -> None:
        """Take back what is held out to it."""
        await self.offer(printer, Offer())

    async def order(self, printer: str, order: FarmOrder, within: float = ORDER_PATIENCE) -> OrderAnswer:
        """Have an agent do something at once."""
        if not self.connected:
            raise FarmUnreachable(f"{printer} is not reached: {self.trouble}")
        try:
            answer = await self._line.ask(of("order", printer), msgspec.json.encode(order), within)
            return msgspec.json.decode(answer.data, type=OrderAnswer)
        except FarmUnreachable as error:
            raise FarmUnreachable(f"{printer}: its agent did not answer within {within:g} s") from error
        except msgspec.MsgspecError as error:
            raise FarmUnreachable(f"{printer}: what its agent answered is not understood: {error}") from error

    async def failed(self, printer: str, failed: FailedCopy) -> None:
        """Keep what was not printed."""
        headers = {MESSAGE_ID: f"failed.{failed.copy}"}  # a report that comes again does not fail it twice
        _check_receipt(await self._line.ask(of("failed", printer), msgspec.json.encode(failed), headers=headers))

    async def put_file(self, sha256: str, path: Path) -> None:
        """Keep a file for all servers."""
        await files.put(self._line.client, sha256, path)

    async def get_file(self, sha256: str, path: Path) -> None:
        """Write a kept file to a path."""
        await files.get(self._line.client, sha256, path)

    async def remove_file(self, sha256: str) -> None:
        """Forget a file."""
        await files.remove(self._line.client, sha256)

    # -- hearing -----------------------------------------------------------------------------------------------------

    async def _set_up(self, client: Client) -> None:
        self.differing = await make(client.jetstream())
        for text in self.differing:
            log.warning("nats.set_otherwise", text=text, consequence="it is left so")
        await subscribe(client, f"{PRESENCE}.*", self._hear_presence)
        kinds: tuple[tuple[str, type[Any] | None], ...] = (
            ("file", CopyQuestion),
            ("renew", CopyQuestion),
            ("claim", ClaimQuestion),
            ("held", None),
            ("report", Report),
        )
        for kind, body in kinds:
            await subscribe(client, f"farm.{kind}.*", self._hearing(kind, body), QUEUE)
        for site in self.sites:  # one by one: no more than a leaf node may say is brought from there
            await subscribe(client, f"farm.site.{site}.*", self._hear_site, QUEUE)

    def _changed(self) -> None:
        if self._line.connected:
            self._begin(self._begin_anew())

    async def _begin_anew(self) -> None:
        """Read what NATS has kept of the printers, then let offers begin."""
        try:
            await in_time(self._read_presences(self._line.client), LOOKING)
        except (FarmUnreachable, *FAILURES) as error:
            log.warning("farm.presences_unknown", reason=str(error), consequence="each says so again within 10 s")
        if self._duties is not None:
            await self._duties.connected()

    async def _read_presences(self, client: Client) -> None:
        watcher = await (await client.jetstream().key_value(PRESENCE_BUCKET)).watchall()
        try:
            # it is not annotated in nats-py
            while (entry := await watcher.updates(timeout=ANSWERING)) is not None:  # type: ignore[no-untyped-call]
                if entry.value:
                    await self._take_presence(entry.key, entry.value)
        finally:
            await watcher.stop()  # type: ignore[no-untyped-call]  # as above

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hear_presence(self, message: Msg) -> None:
        printer = sender(message.subject)
        if printer and self._admits("presence", printer):
            await self._take_presence(printer, message.data)

    async def _take_presence(self, printer: str, data: bytes) -> None:
        if len(data) > LARGEST:
            self._complain("farm.presence_too_long", printer, f"{len(data)} bytes, {LARGEST} at most")
            return
        try:
            presence = msgspec.json.decode(data, type=Presence)
        except msgspec.MsgspecError as error:
            self._complain("farm.presence_unreadable", printer, str(error))
            return
        if printer not in self.presences and len(self.presences) >= MOST_PRINTERS:
            self._complain("farm.too_many_printers", printer, f"more than {MOST_PRINTERS} have said something")
            return
        self.presences[printer] = presence
        if self._duties is not None:
            await self._duties.heard(printer, presence)

    def _hearing(self, kind: str, body: type[Any] | None) -> Callable[[Msg], Awaitable[None]]:
        async def hear(message: Msg) -> None:
            printer = sender(message.subject)
            if not is_own_inbox(message.reply, printer):
                self._complain("farm.answer_elsewhere", printer, f"{kind}: wants its answer at {message.reply[:60]!r}")
            elif len(message.data) > LARGEST:
                self._complain("farm.question_too_long", printer, f"{kind}: {len(message.data)} bytes")
            elif self._admits(kind, printer):
                await self._room.acquire()
                self._begin(self._answer(kind, body, printer, message))

        return hear

    async def _hear_site(self, message: Msg) -> None:
        _, _, site, kind = message.subject.split(".")
        if not is_below(message.reply, site_inbox(site)):
            self._complain("farm.answer_elsewhere", site, f"{kind}: wants its answer at {message.reply[:60]!r}")
        elif is_printer(site) and self._admits("site", site):
            await self._room.acquire()
            self._begin(self._answer("site", None, f"{site}.{kind}", message))

    def _admits(self, kind: str, printer: str) -> bool:
        rates = self._rates.get(kind, self._rates[""])
        if rates.admits(printer, asyncio.get_running_loop().time()):
            return True
        self._complain("farm.flood", printer, f"asks too often ({kind})")
        return False

    def _complain(self, event: str, printer: str, reason: str) -> None:
        """Log what somebody does whom we cannot trust, and not without end."""
        if self._limit.admits(asyncio.get_running_loop().time()):
            log.warning(event, printer=printer, reason=reason, not_shown=self._limit.take_suppressed())

    async def _answer(self, kind: str, body: type[Any] | None, printer: str, message: Msg) -> None:
        """Answer one question; whoever asked is told nothing where the list cannot be asked, and asks again."""
        headers = None
        try:
            question = msgspec.json.decode(message.data, type=body) if body is not None else bytes(message.data)
            async with asyncio.timeout(ANSWERING):
                found = await self._ask_duties(kind, printer, question)
            data = found if isinstance(found, bytes) else msgspec.json.encode(found)
        except FarmRefused as error:
            data, headers = b"", {REFUSED: str(error)}
        except msgspec.MsgspecError as error:
            self._complain("farm.question_unreadable", printer, f"{kind}: {error}")
            return
        except TimeoutError:
            log.warning("farm.too_slow", printer=printer, question=kind, seconds=ANSWERING)
            return
        except Exception as error:
            log.exception("farm.not_answered", printer=printer, question=kind)
            data, headers = b"", {TROUBLE: str(error) or type(error).__name__}
        finally:
            self._room.release()
        try:
            await self._line.publish(message.reply, data, headers)
        except FarmUnreachable as error:
            log.warning("farm.answer_lost", printer=printer, reason=str(error))

    async def _ask_duties(self, kind: str, printer: str, question: Any) -> Any:
        duties = self._duties
        if duties is None:
            raise FarmUnreachable("the server has not begun")
        match kind:
            case "file":
                return await duties.file(printer, question)
            case "renew":
                return await duties.renew(printer, question)
            case "claim":
                return await duties.claim(printer, question)
            case "report":
                return await duties.report(printer, question)
            case "site" if self.answer_site is not None:
                site, _, asked = printer.partition(".")
                return await self.answer_site(site, asked, question)
            case _:
                return await duties.held(printer)


def _check_receipt(message: Msg) -> None:
    """Raise FarmUnreachable unless the stream says that it has the message."""
    try:
        receipt = json.loads(message.data)
        if "seq" in receipt:
            return
        reason = receipt["error"]["description"]
    except (ValueError, KeyError, TypeError):
        reason = "no receipt"
    raise FarmUnreachable(f"NATS has not kept the message: {reason}")
