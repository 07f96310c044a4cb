"""The companion `notify`: listens to the front, sends notifications, and reports used filament to Spoolman."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import structlog

from daemon.client import ClientError, OctoPrintClient
from daemon.client.exchange import Exchange
from daemon.companions.companion import DONE, Answer, Companion, Refusal
from daemon.companions.front_state import FrontState
from daemon.companions.notify import notice_finder, picture
from daemon.companions.notify.config import NotifyConfig, SpoolmanConfig
from daemon.companions.notify.delivery import NoticeDelivery
from daemon.companions.notify.notice_finder import NoticeFinder
from daemon.companions.notify.notices import CLASSES, UserNotice
from daemon.companions.notify.outbox import DeliveryResult
from daemon.companions.notify.senders import Apprise, Webhook
from daemon.companions.notify.spoolman import Spoolman, SpoolmanAway, SpoolmanRefused
from daemon.companions.notify.stock import MAX_TOOLS, Stock
from daemon.companions.notify.targets import Target, file_of, how_to_add, load
from daemon.errors import ConfigError
from daemon.private_file import write_private

CHOICES = "choices.json"
HISTORY_LIMIT = 20  # prints of the history to check for ends
PAUSES_S = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 20.0)
"""Seconds between queries of the history for a print's end, which is recorded there a moment after the event."""

FILAMENT_WAIT_S = 6.0  # for the filament that a print has used, before its end is reported
TARGETS_INTERVAL = 30.0
DISK_INTERVAL = 600.0
SPOOLS_INTERVAL = 300.0  # while nothing is printed
TEST_TIMEOUT = 8.0  # for the result of a test message, and for Spoolman
MIB = 2**20
END_STATES = ("completed", "cancelled", "failed", "interrupted")
SUBSCRIPTION = {"page": {"patient": True}, "state": False, "plugins": False, "events": [*notice_finder.EVENTS]}

T = TypeVar("T")

log = structlog.get_logger()


class Notify(Companion):
    """Notifies users of what happens to their prints."""

    name = "notify"

    def __init__(
        self,
        client: OctoPrintClient,
        folder: Path,
        *,
        notify: NotifyConfig,
        spoolman: SpoolmanConfig,
        environ: Mapping[str, str],
        wall: Callable[[], float],
        outside: Exchange,
    ) -> None:
        """Prepare.

        Args:
            client: of the front.
            folder: its own.
            notify: the section of that name.
            spoolman: the section of that name.
            environ: of this process.
            wall: returns the Unix time in s.
            outside: sends requests to webhooks and Spoolman.

        Raises:
            ConfigError: Spoolman's address or a class is wrong.
        """
        super().__init__(client, folder)
        if unknown := [each for each in notify.mute if each not in CLASSES]:
            raise ConfigError(f"notify.mute: unknown class {unknown[0]!r}; known classes: {', '.join(CLASSES)}")
        self._config = notify
        self._spoolman = spoolman
        self._wants_messages = notify != NotifyConfig() or not spoolman.url  # otherwise it only reports to Spoolman
        self._environ = environ
        self._wall = wall
        self._targets: list[Target] = []
        self._problem: str | None = None
        self._muted_classes = frozenset(notify.mute)
        self._choice_lock = asyncio.Lock()
        self._front = FrontState()
        self._finder = NoticeFinder()
        self._check_ends_soon = asyncio.Event()
        self._knows_history = False  # the history was read once
        self._last_job: tuple[Any, Any] = (None, None)  # its id and state in the front's last message
        self._is_end_missing = False  # the history did not have the end of that job, or did not answer
        senders = {"": Apprise(notify.timeout_s).send, "webhook": Webhook(outside, notify.timeout_s).send}
        self._delivery = NoticeDelivery(folder, senders, self._picture, lambda: notify.language, wall)
        self._delivery.on_change = self._report_to_front
        self._stock = Stock(Spoolman(spoolman.url, outside), folder, self._report_to_front) if spoolman.url else None
        self._spool_wake = asyncio.Event()
        self._is_printing = False

    async def run(self) -> None:
        """Listen and notify until cancelled."""
        await self._read_targets()
        await self._delivery.open()
        await asyncio.to_thread(self._read_choices)
        self._finder.standing_conditions = {str(each) for each in self._saved_keys("standing")}
        self._finder.lost_prints = {each for each in self._saved_keys("lost") if isinstance(each, int)}
        if self._stock is not None:
            await self._stock.open()
        self._report_to_front()
        parts: list[Coroutine[Any, Any, None]] = [
            self._delivery.run(), self._listen(), self._watch_ends(), self._repeat(TARGETS_INTERVAL, self._read_targets)
        ]  # fmt: skip
        if self._config.disk_free_mib:
            parts.append(self._repeat(DISK_INTERVAL, self._check_disk))
        if self._stock is not None:
            parts.append(self._report_filament(self._stock))
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part)

    def _saved_keys(self, name: str) -> list[Any]:
        keys = self._delivery.owner_state.get(name)
        return keys if isinstance(keys, list) else []

    # -- listening ---------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        async for message in self.messages(SUBSCRIPTION):
            if message.kind == "connected":
                self._check_ends_soon.set()
            elif message.kind == "event" and isinstance(message.payload, dict):
                self._on_event(message.payload)
            elif message.kind == "page" and isinstance(message.payload, dict) and self._front.take(message.payload):
                self._on_snapshot()

    def _on_event(self, event: Mapping[str, Any]) -> None:
        payload = event.get("payload")
        details = payload if isinstance(payload, dict) else {}
        for notice in self._finder.check_event(str(event.get("type")), details, self._front, self._wall()):
            self._add(notice)
        self._save_conditions()

    def _on_snapshot(self) -> None:
        snapshot = self._front
        for notice in self._finder.check_snapshot(snapshot, asyncio.get_running_loop().time(), self._wall()):
            self._add(notice)
        before, self._last_job = self._last_job, (snapshot.get("job.id"), snapshot.get("job.state"))
        if self._last_job[1] in END_STATES and (self._last_job != before or self._is_end_missing):
            self._check_ends_soon.set()
        if (is_printing := snapshot.get("job.active") is True) != self._is_printing:
            self._is_printing = is_printing
            self._spool_wake.set()
        self._save_conditions()

    def _save_conditions(self) -> None:
        keys = {"standing": sorted(self._finder.standing_conditions), "lost": sorted(self._finder.lost_prints)}
        if keys != self._delivery.owner_state:
            self._delivery.owner_state = keys
            self._delivery.save()

    def _add(self, notice: UserNotice) -> None:
        if notice.kind in self._muted_classes:
            self._delivery.outbox.note_keys([notice.key])
        else:
            self._delivery.add(notice)

    async def _watch_ends(self) -> None:
        """Report how prints have ended, even those that ended while this process was not connected."""
        while True:
            await self._check_ends_soon.wait()
            self._check_ends_soon.clear()
            self._is_end_missing = False
            loop = asyncio.get_running_loop()
            begin, since = loop.time(), None if self._knows_history else self._wall() - notice_finder.MAX_AGE_S
            for pause in PAUSES_S:
                await asyncio.sleep(pause)
                try:
                    if await self._report_ends(since, patient=loop.time() - begin < FILAMENT_WAIT_S):
                        break
                except ClientError:
                    continue  # `connected` sets the event again
            else:
                self._is_end_missing = True
            if self._stock is not None:
                self._spool_wake.set()

    async def _report_ends(self, since: float | None, *, patient: bool) -> bool:
        """Report ends from the history; return whether they are complete.

        If `patient`, report none while the history lacks the filament that one of the prints has used.
        """
        jobs = await self._history()
        outbox = self._delivery.outbox
        if self._delivery.is_new:
            self._delivery.is_new = False
            outbox.note_keys(notice_finder.end_key(each) for each in jobs if each.get("state") in END_STATES)
            self._delivery.save()
        notices = notice_finder.find_ends(jobs, outbox.known_keys, notice_finder.printer_of(self._front), since)
        if patient and any(not each.about["filament"] for each in notices):
            return False
        for notice in notices:
            self._add(notice)
        outbox.note_keys(notice_finder.end_key(each) for each in jobs if each.get("state") in END_STATES)
        self._delivery.save()
        number = self._front.get("job.id")
        missing = self._front.get("job.state") in END_STATES and number is not None
        self._knows_history = True
        return not missing or any(each.get("id") == number and each.get("state") in END_STATES for each in jobs)

    async def _history(self) -> list[dict[str, Any]]:
        jobs = (await self.client.get(f"/api/history?limit={HISTORY_LIMIT}"))["jobs"]
        return [each for each in jobs if isinstance(each, dict)]

    async def _picture(self) -> bytes | None:
        if not self._config.picture or not self._front.get("server.camera"):
            return None
        return await picture.fetch(self.client)

    async def _check_disk(self) -> None:
        with suppress(ClientError, KeyError, TypeError):
            free = (await self.client.get("/api/health"))["machine"]["disk"]["free"]
            name = notice_finder.printer_of(self._front)
            for notice in self._finder.check_disk(float(free), self._config.disk_free_mib * MIB, name, self._wall()):
                self._add(notice)
            self._save_conditions()

    # -- targets and choices -----------------------------------------------------------------------------------

    async def _read_targets(self) -> None:
        """Read the targets file, which a user may have changed. If it is not valid, the old targets stay."""
        path = file_of(self._config.targets_file, self.folder, self._environ)
        problem = None
        try:
            targets = await asyncio.to_thread(load, path, self._environ)
        except ConfigError as error:
            problem, targets = str(error), self._targets
        else:
            if not targets and self._wants_messages:
                problem = f"no targets yet: {how_to_add(path, self._environ)}"
            if targets != self._targets or not targets:
                self._targets = targets
                self._delivery.set_targets(targets)
        if problem != self._problem:
            log.warning("notify.targets", problem=problem, count=len(targets))
            self._problem = problem
        self._report_to_front()

    def _read_choices(self) -> None:
        try:
            muted = json.loads((self.folder / CHOICES).read_text("utf-8"))["mute"]
            self._muted_classes = frozenset(each for each in muted if each in CLASSES)
        except (OSError, ValueError, KeyError, TypeError):
            return

    async def _choose(self, classes: Mapping[str, Any]) -> None:
        async with self._choice_lock:  # two requests at once would both change the previous choice
            mute = set(self._muted_classes)
            for name, on in classes.items():
                if name not in CLASSES or not isinstance(on, bool):
                    raise Refusal(400, f"classes must be some of {', '.join(CLASSES)}, each true or false")
                (mute.discard if on else mute.add)(name)
            try:
                text = json.dumps({"mute": sorted(mute)})
                await asyncio.to_thread(write_private, self.folder / CHOICES, text, replace=True)
            except OSError as error:
                raise Refusal(507, f"the choice cannot be saved: {error.strerror}") from error
            self._muted_classes = frozenset(mute)
        self._report_to_front()

    # -- requests ----------------------------------------------------------------------------------------------

    async def handle(self, do: str, parameters: Mapping[str, Any], scope: str) -> Answer:
        """Carry out a client's request."""
        if do == "spools":
            return Answer(200, {"spools": await self._from_spoolman(self._find_stock().list_spools())})
        if scope == "read":
            raise Refusal(403, "this needs a key of scope control; this key may only read")
        match do:
            case "test":
                return await self._test(parameters.get("target"))
            case "choose":
                await self._choose(_object(parameters.get("classes")))
                return DONE
            case "spool":
                await self._choose_spool(parameters)
                return DONE
        return await super().handle(do, parameters, scope)

    async def _test(self, target: object) -> Answer:
        await self._read_targets()
        if self._problem is not None or not self._targets:
            raise Refusal(409, self._problem or "no targets: docs/notifications.md says how to add one")
        names = [each.name for each in self._targets]
        if target is not None and target not in names:
            raise Refusal(404, f"unknown target {str(target)[:40]!r}; known targets: {', '.join(names)}")
        about = {"printer": notice_finder.printer_of(self._front)}
        notice = UserNotice("test", f"test {self._wall():.3f}", "test", about)
        results = await self._delivery.test(notice, str(target) if target is not None else None, TEST_TIMEOUT)
        waiting = sorted(set(names if target is None else [str(target)]) - {each.target for each in results})
        return Answer(200, {"results": [_as_json(each) for each in results], "waiting": waiting})

    async def _choose_spool(self, parameters: Mapping[str, Any]) -> None:
        tool, spool = parameters.get("tool", 0), parameters.get("spool")
        if type(tool) is not int or not 0 <= tool < MAX_TOOLS:
            raise Refusal(400, f"tool must be a number from 0 to {MAX_TOOLS - 1}")
        if not (spool is None or (type(spool) is int and spool >= 0)):
            raise Refusal(400, "spool must be the number of a spool in Spoolman, or null for none")
        use_so_far = None
        with suppress(ClientError):
            use_so_far = await self.client.get("/api/job/filament")
        await self._from_spoolman(self._find_stock().choose(tool, spool, use_so_far))

    def _find_stock(self) -> Stock:
        if self._stock is None:
            raise Refusal(404, "Spoolman is not configured: set [spoolman] url to its address")
        return self._stock

    async def _from_spoolman(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            async with asyncio.timeout(TEST_TIMEOUT):
                return await work
        except SpoolmanRefused as error:
            raise Refusal(404 if error.is_gone else 409, str(error)) from error
        except SpoolmanAway as error:
            raise Refusal(503, str(error)) from error
        except TimeoutError as error:
            raise Refusal(503, "Spoolman did not answer in time") from error
        except OSError as error:
            raise Refusal(507, f"the choice cannot be saved: {error.strerror}") from error

    # -- Spoolman ----------------------------------------------------------------------------------------------

    async def _report_filament(self, stock: Stock) -> None:
        knows_history = False
        while True:
            try:
                use_so_far = await self.client.get("/api/job/filament")
                jobs = await self._history()
                if not knows_history:
                    knows_history = True
                    await stock.skip_old_prints(jobs)
                await stock.take(use_so_far)
                await stock.take_ends(jobs, self._wall())
                await stock.report()
            except ClientError as error:
                log.info("spoolman.waits", reason=str(error))
            except OSError as error:
                consequence = "nothing is reported until the ledger can be saved"
                log.warning("spoolman.not_kept", reason=str(error), consequence=consequence)
            busy = self._is_printing or bool(stock.ledger.spools_due())
            with suppress(TimeoutError):
                async with asyncio.timeout(self._spoolman.every_s if busy else SPOOLS_INTERVAL):
                    await self._spool_wake.wait()
            self._spool_wake.clear()

    # -- reports ----------------------------------------------------------------------------------------------

    def _report_to_front(self) -> None:
        outbox = self._delivery.outbox
        self.report_state(
            {
                "classes": {name: name not in self._muted_classes for name in CLASSES},
                "targets": [{"name": each.name, "kind": each.kind} for each in self._targets],
                "results": [_as_json(each) for each in reversed(outbox.results)],
                "waiting": len(outbox.messages),
                "dropped": outbox.drop_count,
                "problem": self._problem,
                "spoolman": self._stock.as_json(self._hotends()) if self._stock is not None else None,
            }
        )

    def _hotends(self) -> int:
        extruders = self._front.get("profile.extruders")
        return extruders if isinstance(extruders, int) else 1

    def describe_activity(self) -> str:
        """Return the line for `systemctl status`."""
        if self._problem is not None:
            return self._problem
        results = self._delivery.outbox.results
        last = f"; {results[-1].target}: {results[-1].text()}" if results else ""
        return f"sends to {', '.join(each.name for each in self._targets) or 'Spoolman'}{last}"

    async def _repeat(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            await work()
            await asyncio.sleep(seconds)


def _as_json(result: DeliveryResult) -> dict[str, Any]:
    return {**asdict(result), "text": result.text()}


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Refusal(400, "classes must be an object")
    return value
