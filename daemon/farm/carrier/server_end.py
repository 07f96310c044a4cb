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
from nats.errors import NoRespondersError

from daemon.farm.carrier import files
from daemon.farm.carrier.connect import FAILURES, NatsAddress, NatsConnection, subscribe
from daemon.farm.carrier.ending import run_in_time
from daemon.farm.carrier.ends import ORDER_TIMEOUT, Duties
from daemon.farm.carrier.errors import FarmRefused, FarmUnreachable
from daemon.farm.carrier.rates import PrinterRates
from daemon.farm.carrier.streams import make_streams
from daemon.farm.carrier.subjects import (
    ADDRESSEE,
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
    printer_subject,
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

MAX_AT_ONCE = 64  # questions that are answered at the same time; others wait
ANSWER_TIMEOUT = 4.0  # agents wait for 5 s
READ_TIMEOUT = 20.0  # for the stored presences of a whole farm
MAX_BODY = 16 << 10  # bytes of a message from a printer
MAX_PRINTERS = 20_000
PRESENCE_RATE, PRESENCE_BURST = 2.0, 20.0  # messages a second for each printer, and at once
QUESTION_RATE, QUESTION_BURST = 50.0, 200.0  # the same for questions; enough for 25 MB of G-code a second

AnswerSite = Callable[[str, str, bytes], Awaitable[bytes]]
"""Called with a site's id, the kind of its question, and the body; returns the answer, or raises FarmRefused."""

log = structlog.get_logger()


class NatsServerEnd:
    """The server's end over NATS (ServerEnd).

    Attributes:
        presences: the last presence of each printer.
        sites: ids of the sites that may ask; set before `run`.
        answer_site: answers their questions; set before `run`.
        stream_differences: a sentence about each setting of a stream that differs from what this version would set.
    """

    def __init__(self, address: NatsAddress, name: str = "nozzled farm") -> None:
        """Prepare.

        Args:
            address: of NATS. Its inbox is replaced by the server's own.
            name: our name in the log of NATS.
        """
        self.presences: dict[str, Presence] = {}
        self.sites: tuple[str, ...] = ()
        self.answer_site: AnswerSite | None = None
        self.stream_differences: list[str] = []
        own = NatsAddress(address.urls, address.seed, address.tls, SERVER_INBOX)
        self._connection = NatsConnection(own, name, self._set_up)
        self._connection.on_change = self._on_change
        self._duties: Duties | None = None
        self._interrupted_uploads = files.InterruptedUploads()
        self._rates = {
            "presence": PrinterRates(PRESENCE_RATE, PRESENCE_BURST),
            "": PrinterRates(QUESTION_RATE, QUESTION_BURST),
        }
        self._limit = Limiter(limit=5, period=60)
        self._answer_slots = asyncio.Semaphore(MAX_AT_ONCE)
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def is_connected(self) -> bool:
        """Whether NATS is connected."""
        return self._connection.is_connected

    @property
    def trouble(self) -> str:
        """Why NATS is not connected; empty: it is."""
        return self._connection.trouble

    async def run(self, duties: Duties) -> None:
        """Stay connected and answer, until cancelled."""
        self._duties = duties
        try:
            await self._connection.run()
        finally:
            for task in [*self._tasks]:
                task.cancel()

    # -- sending -----------------------------------------------------------------------------------------------------

    async def offer(self, printer: str, offer: Offer) -> None:
        """Offer a copy to a printer."""
        await self._connection.publish(
            printer_subject("offer", printer), msgspec.json.encode(offer), {ADDRESSEE: printer}
        )

    async def withdraw(self, printer: str) -> None:
        """Withdraw the last offer to a printer."""
        await self.offer(printer, Offer())

    async def order(self, printer: str, order: FarmOrder, within: float = ORDER_TIMEOUT) -> OrderAnswer:
        """Send an order to an agent, and return its answer."""
        if not self.is_connected:
            raise FarmUnreachable(f"cannot reach {printer}: {self.trouble}")
        try:
            answer = await self._connection.ask(printer_subject("order", printer), msgspec.json.encode(order), within)
            return msgspec.json.decode(answer.data, type=OrderAnswer)
        except FarmUnreachable as error:
            is_absent = isinstance(error.__cause__, NoRespondersError)
            text = "is not connected" if is_absent else f"did not answer within {within:g} s"
            raise FarmUnreachable(f"{printer}: its agent {text}") from error
        except msgspec.MsgspecError as error:
            raise FarmUnreachable(f"{printer}: cannot read its agent's answer: {error}") from error

    async def store_failed(self, printer: str, copy: FailedCopy) -> None:
        """Add a failed copy to the stream FAILED."""
        headers = {MESSAGE_ID: f"failed.{copy.copy}"}  # a repeated report adds it only once
        _check_receipt(
            await self._connection.ask(printer_subject("failed", printer), msgspec.json.encode(copy), headers=headers)
        )

    async def put_file(self, sha256: str, path: Path) -> None:
        """Store a file for all servers."""
        await files.put(self._connection.client, sha256, path)

    async def get_file(self, sha256: str, path: Path) -> None:
        """Write a stored file to a path."""
        await files.get(self._connection.client, sha256, path)

    async def remove_file(self, sha256: str) -> None:
        """Delete a stored file."""
        await files.remove(self._connection.client, sha256)

    async def remove_leftovers(self) -> int:
        """Delete the chunks of interrupted uploads from the store."""
        return await self._interrupted_uploads.remove(self._connection.client)

    # -- receiving ---------------------------------------------------------------------------------------------------

    async def _set_up(self, client: Client) -> None:
        self.stream_differences = await make_streams(client.jetstream())
        for text in self.stream_differences:
            log.warning("nats.set_otherwise", text=text, consequence="the setting is left as it is")
        await subscribe(client, f"{PRESENCE}.*", self._on_presence)
        kinds: tuple[tuple[str, type[Any] | None], ...] = (
            ("file", CopyQuestion),
            ("renew", CopyQuestion),
            ("claim", ClaimQuestion),
            ("held", None),
            ("report", Report),
        )
        for kind, body in kinds:
            await subscribe(client, f"farm.{kind}.*", self._question_handler(kind, body), QUEUE)
        # no wildcard: it would ask each leaf node for the subjects of all sites, and each may send only its own site's
        for site in self.sites:
            await subscribe(client, f"farm.site.{site}.*", self._on_site_question, QUEUE)

    def _on_change(self) -> None:
        if self._connection.is_connected:
            self._begin(self._catch_up())

    async def _catch_up(self) -> None:
        """Read the presences that NATS has stored, then let the server send its offers again."""
        try:
            await run_in_time(self._read_presences(self._connection.client), READ_TIMEOUT)
        except (FarmUnreachable, *FAILURES) as error:
            log.warning("farm.presences_unknown", reason=str(error), consequence="each printer reports within 10 s")
        if self._duties is not None:
            await self._duties.on_connected()

    async def _read_presences(self, client: Client) -> None:
        watcher = await (await client.jetstream().key_value(PRESENCE_BUCKET)).watchall()
        try:
            # nats-py does not annotate it
            while (entry := await watcher.updates(timeout=ANSWER_TIMEOUT)) is not None:  # type: ignore[no-untyped-call]
                if entry.value:
                    await self._take_presence(entry.key, entry.value)
        finally:
            await watcher.stop()  # type: ignore[no-untyped-call]  # as above

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _on_presence(self, message: Msg) -> None:
        printer = sender(message.subject)
        if printer and self._admits("presence", printer):
            await self._take_presence(printer, message.data)

    async def _take_presence(self, printer: str, data: bytes) -> None:
        if len(data) > MAX_BODY:
            self._warn("farm.presence_too_long", printer, f"{len(data)} bytes; at most {MAX_BODY} are allowed")
            return
        try:
            presence = msgspec.json.decode(data, type=Presence)
        except msgspec.MsgspecError as error:
            self._warn("farm.presence_unreadable", printer, str(error))
            return
        if printer not in self.presences and len(self.presences) >= MAX_PRINTERS:
            self._warn("farm.too_many_printers", printer, f"more than {MAX_PRINTERS} printers have reported")
            return
        self.presences[printer] = presence
        if self._duties is not None:
            await self._duties.on_presence(printer, presence)

    def _question_handler(self, kind: str, body: type[Any] | None) -> Callable[[Msg], Awaitable[None]]:
        """Return a handler of questions of one kind; each is answered in a task of its own."""

        async def handle(message: Msg) -> None:
            printer = sender(message.subject)
            if not is_own_inbox(message.reply, printer):
                self._warn("farm.answer_elsewhere", printer, f"{kind}: wants its answer at {message.reply[:60]!r}")
            elif len(message.data) > MAX_BODY:
                self._warn("farm.question_too_long", printer, f"{kind}: {len(message.data)} bytes")
            elif self._admits(kind, printer):
                await self._answer_slots.acquire()
                self._begin(self._answer(kind, body, printer, message))

        return handle

    async def _on_site_question(self, message: Msg) -> None:
        _, _, site, kind = message.subject.split(".")
        if not is_below(message.reply, site_inbox(site)):
            self._warn("farm.answer_elsewhere", site, f"{kind}: wants its answer at {message.reply[:60]!r}")
        elif is_printer(site) and self._admits("site", site):
            await self._answer_slots.acquire()
            self._begin(self._answer("site", None, f"{site}.{kind}", message))

    def _admits(self, kind: str, printer: str) -> bool:
        rates = self._rates.get(kind, self._rates[""])
        if rates.admits(printer, asyncio.get_running_loop().time()):
            return True
        self._warn("farm.flood", printer, f"asks too often ({kind})")
        return False

    def _warn(self, event: str, printer: str, reason: str) -> None:
        """Log a fault of a printer or a site, within a limit: it may repeat the fault endlessly."""
        if self._limit.admits(asyncio.get_running_loop().time()):
            log.warning(event, printer=printer, reason=reason, not_shown=self._limit.take_suppressed())

    async def _answer(self, kind: str, body: type[Any] | None, asker: str, message: Msg) -> None:
        """Answer a question. If that takes too long, send nothing: the agent asks again.

        Args:
            kind: of the question.
            body: type of its body; None: its bytes.
            asker: id of the printer; for a question of a site, `SITE.KIND`.
            message: the question.
        """
        headers = None
        try:
            question = msgspec.json.decode(message.data, type=body) if body is not None else bytes(message.data)
            async with asyncio.timeout(ANSWER_TIMEOUT):
                answer = await self._ask_duties(kind, asker, question)
            data = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
        except FarmRefused as error:
            data, headers = b"", {REFUSED: str(error)}
        except msgspec.MsgspecError as error:
            self._warn("farm.question_unreadable", asker, f"{kind}: {error}")
            return
        except TimeoutError:
            log.warning("farm.too_slow", printer=asker, question=kind, seconds=ANSWER_TIMEOUT)
            return
        except Exception as error:
            log.exception("farm.not_answered", printer=asker, question=kind)
            data, headers = b"", {TROUBLE: str(error) or type(error).__name__}
        finally:
            self._answer_slots.release()
        try:
            await self._connection.publish(message.reply, data, headers)
        except FarmUnreachable as error:
            log.warning("farm.answer_lost", printer=asker, reason=str(error))

    async def _ask_duties(self, kind: str, asker: str, question: Any) -> Any:
        duties = self._duties
        if duties is None:
            raise FarmUnreachable("the server has not started yet")
        match kind:
            case "file":
                return await duties.read_chunk(asker, question)
            case "renew":
                return await duties.renew(asker, question)
            case "claim":
                return await duties.claim(asker, question)
            case "held":
                return await duties.find_holdings(asker)
            case "report":
                return await duties.report(asker, question)
            case "site" if self.answer_site is not None:
                site, _, site_kind = asker.partition(".")
                return await self.answer_site(site, site_kind, question)
            case _:
                raise FarmUnreachable(f"this server answers no questions of the kind {kind}")


def _check_receipt(message: Msg) -> None:
    """Raise FarmUnreachable unless the stream confirms that it has stored the message."""
    try:
        receipt = json.loads(message.data)
        if "seq" in receipt:
            return
        reason = receipt["error"]["description"]
    except (ValueError, KeyError, TypeError):
        reason = "no receipt"
    raise FarmUnreachable(f"NATS did not store the message: {reason}")
