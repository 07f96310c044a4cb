"""Delivers the notices in the outbox. Each target has its own task, so one that hangs does not delay the others."""

import asyncio
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from daemon.companions.notify.notices import UserNotice
from daemon.companions.notify.outbox import DeliveryResult, NoticeOutbox, QueuedNotice
from daemon.companions.notify.senders import Notification, Send
from daemon.companions.notify.targets import Target
from daemon.companions.notify.texts import body_of, title_of
from daemon.private_file import write_private
from daemon.set_aside import set_aside

FILE = "outbox.json"
RETRY_INTERVAL = 30.0  # after the disk was full

log = structlog.get_logger()


class NoticeDelivery:
    """The outbox, its file, and a task for each target.

    Attributes:
        outbox: waiting notices, and the keys of those that were sent.
        is_new: no earlier process has left a file, or it was damaged.
        owner_state: values that the owner keeps in the same file, by name.
    """

    def __init__(
        self,
        folder: Path,
        senders: Mapping[str, Send],
        picture: Callable[[], Any],
        language: Callable[[], str],
        wall: Callable[[], float],
    ) -> None:
        """Prepare.

        Args:
            folder: of its file.
            senders: kind of target → sender; "" for all others.
            picture: takes a picture; returns a JPEG or None.
            language: of the messages.
            wall: returns the Unix time in s.
        """
        self.outbox = NoticeOutbox()
        self.is_new = True
        self.owner_state: dict[str, Any] = {}
        self.on_change: Callable[[], None] = lambda: None
        self._folder = folder
        self._senders = senders
        self._picture = picture
        self._language = language
        self._wall = wall
        self._targets: dict[str, Target] = {}
        self._target_tasks: dict[str, asyncio.Task[None]] = {}
        self._wakes: dict[str, asyncio.Event] = {}
        self._pictures: dict[int, asyncio.Task[bytes | None]] = {}
        self._tests: dict[tuple[int, str], asyncio.Future[DeliveryResult]] = {}
        self._save_soon = asyncio.Event()
        self._release_soon = asyncio.Event()
        self._saved_text = ""
        self._token = secrets.token_hex(8)  # of this installation: others have prints with the same ids

    # -- contents ----------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Read the file of an earlier process; a damaged file is set aside."""
        document = await asyncio.to_thread(self._read)
        if document is not None:
            self.is_new = False
            self._token = str(document.get("token") or self._token)
            self.owner_state = document["kept"] if isinstance(document.get("kept"), dict) else {}
            self.outbox.restore(document, self._targets, asyncio.get_running_loop().time())
            self._wake()

    def _read(self) -> dict[str, Any] | None:
        path = self._folder / FILE
        for picture in self._folder.glob("picture-*.jpg"):
            with suppress(OSError):  # a disk that has become read-only
                picture.unlink()
        try:
            document = json.loads(path.read_text("utf-8"))
            if not isinstance(document, dict):
                raise ValueError("it is not an object")  # noqa: TRY301, TRY004 - handled below
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            set_aside(path, str(error), "prints that ended before now are not reported")
            return None
        return document

    def set_targets(self, targets: list[Target]) -> None:
        """Send to these targets from now on."""
        by_name = {each.name: each for each in targets}
        for name in [each for each in self._target_tasks if each not in by_name]:
            self._target_tasks.pop(name).cancel()
        self._targets = by_name
        self.outbox.keep_only(by_name)
        for name in by_name:
            if name not in self._target_tasks:
                self._wakes[name] = asyncio.Event()
                self._target_tasks[name] = asyncio.create_task(self._send_to(name))
        self._wake()

    def add(self, notice: UserNotice) -> bool:
        """Send a notice, unless its key was sent before; return whether it is new."""
        if not self.outbox.add(notice, self._targets, asyncio.get_running_loop().time()):
            return False
        log.info("notify.news", kind=notice.kind, what=notice.what)
        self._wake()
        return True

    def save(self) -> None:
        """Write the file soon."""
        self._save_soon.set()

    async def test(self, notice: UserNotice, target: str | None, timeout_s: float) -> list[DeliveryResult]:
        """Send a notice now, to one target or all; return the results of those first attempts that end in time.

        Raises:
            KeyError: there is no such target.
        """
        names = [self._targets[target].name] if target else [*self._targets]
        message = self.outbox.send(notice, names, asyncio.get_running_loop().time())
        loop = asyncio.get_running_loop()
        waiting = {name: loop.create_future() for name in names}
        self._tests.update({(message.number, name): future for name, future in waiting.items()})
        self._wake()
        if waiting:
            await asyncio.wait(waiting.values(), timeout=timeout_s)
        for name in names:
            self._tests.pop((message.number, name), None)
        return [each.result() for each in waiting.values() if each.done()]

    # -- delivery ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Save the file, and release notices that are due. The tasks of the targets end with this one."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._save_changes())
                group.create_task(self._release_due())
        finally:
            for task in (*self._target_tasks.values(), *self._pictures.values()):
                task.cancel()

    async def _save_changes(self) -> None:
        while True:
            await self._save_soon.wait()
            self._save_soon.clear()
            text = json.dumps({**self.outbox.document(), "kept": self.owner_state, "token": self._token})
            if text == self._saved_text:
                continue
            try:
                await asyncio.to_thread(write_private, self._folder / FILE, text, replace=True)
                self._saved_text = text
            except OSError as error:
                log.warning("notify.not_kept", reason=str(error), consequence="a restart may send a message twice")
                await asyncio.sleep(RETRY_INTERVAL)
                self._save_soon.set()

    async def _release_due(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = self.outbox.next_release() if self._targets else None
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._release_soon.wait()
            self._release_soon.clear()
            self.outbox.release(self._targets, loop.time())
            self._wake(release=False)

    def _wake(self, *, release: bool = True) -> None:
        for wake in self._wakes.values():
            wake.set()
        if release:
            self._release_soon.set()
        self._save_soon.set()
        self.on_change()

    async def _send_to(self, name: str) -> None:
        """Send the notices for one target, one after the other."""
        loop, wake = asyncio.get_running_loop(), self._wakes[name]
        while True:
            message = self.outbox.find_due(name, loop.time())
            if message is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(self.outbox.next_due(name)):
                        await wake.wait()
                wake.clear()
                continue
            try:
                reason = await self._send(self._targets[name], message)
            except Exception as error:  # noqa: BLE001 - its text may contain the address, so it is not shown
                reason = f"sending failed ({type(error).__name__})"
            self._record(message, name, reason)

    async def _send(self, target: Target, message: QueuedNotice) -> str | None:
        picture = await self._picture_of(message)
        file = self._folder / f"picture-{message.number}.jpg" if picture is not None else None
        notice, language = message.notice, self._language()
        notification = Notification(
            hashlib.sha256(f"{self._token} {notice.key}".encode()).hexdigest()[:32],
            notice.kind,
            title_of(notice, language),
            body_of(notice, language, message.unsent_count),
            notice.about,
            int(self._wall()),
            picture,
            file,
        )
        return await self._senders.get(target.kind, self._senders[""])(target, notification)

    async def _picture_of(self, message: QueuedNotice) -> bytes | None:
        """Return the picture, taken when the notice was first due; None: there is none, or the notice was dropped."""
        task = self._pictures.get(message.number)
        if task is None:
            task = self._pictures[message.number] = asyncio.create_task(self._take_picture(message.number))
        await asyncio.wait((task,))
        return None if task.cancelled() else task.result()

    async def _take_picture(self, number: int) -> bytes | None:
        picture: bytes | None = await self._picture()
        if picture is not None:
            try:
                await asyncio.to_thread((self._folder / f"picture-{number}.jpg").write_bytes, picture)
            except OSError:
                return None
        return picture

    def _record(self, message: QueuedNotice, name: str, reason: str | None) -> None:
        loop = asyncio.get_running_loop()
        result = self.outbox.record(message, name, reason, loop.time(), self._wall())
        write = log.info if reason is None else log.warning
        write("notify.result", target=name, kind=result.kind, said=result.text())
        future = self._tests.get((message.number, name))
        if future is not None and not future.done():
            future.set_result(result)
        waiting = {each.number for each in self.outbox.messages}
        for number in [each for each in self._pictures if each not in waiting]:
            self._pictures.pop(number).cancel()
            asyncio.get_running_loop().run_in_executor(
                None, lambda path: path.unlink(missing_ok=True), self._folder / f"picture-{number}.jpg"
            )
        self._wake(release=False)
