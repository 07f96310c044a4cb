"""A printer in memory as an agent sees it, with its own record of the prints that began."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass

from daemon.companions.farm.printer import (
    FarmFile,
    JobMark,
    PrinterDeclined,
    PrinterSnapshot,
    PrinterUnreachable,
    PrintOutcome,
    StartRefused,
)
from daemon.farm.messages import Tool

PICTURE = b"\xff\xd8picture\xff\xd9"


@dataclass
class FakePrint:
    """One print; `state` is that of a PrintOutcome."""

    key: str
    id: int
    state: str = "printing"
    reason: str = ""
    began: bool = True


class FakePrinter:
    """A PrinterApi that outlives its agent.

    Attributes:
        begun: keys of the prints that began, in order; "" for one by hand.
        up: its service answers.
        operational: a printer is connected to its service.
        start_delay: s until a start arrives.
        loss_rate: the share of requests, and of answers, that get lost.
        unbegun: its service ends between recording the next start and beginning it.
        objection: the reason not to print any file.
    """

    def __init__(self, seconds=20.0, *, clears_after=5.0, seed=0):
        self.begun = []
        self.prints = {}
        self.files = {}
        self.up = True
        self.operational = True
        self.start_delay = 0.0
        self.loss_rate = 0.0
        self.unbegun = False
        self.objection = ""
        self.paused = False
        self.bed_clear = True
        self.tools = (Tool("PLA", "black", 0.4),)
        self.refusals = []
        self.cooled = []  # the active print at each order to cool
        self.heaters = ()
        self.on_change = lambda: None
        self._seconds, self._clears_after = seconds, clears_after
        self._active = None
        self._numbers = 0
        self._chance = random.Random(seed)
        self._tasks = set()

    @property
    def active(self):
        return self._active

    def start_by_hand(self):
        """Start a print as a user does on the printer's page."""
        if self._active is None:
            self._begin(f"hand-{self._numbers}", "")

    def stop_by_hand(self):
        """Cancel the active print as a user does on the printer's page."""
        self._end(self._active, "cancelled")

    def fail(self, reason):
        self._end(self._active, "failed", reason)

    def _begin(self, key, started_key):
        self._numbers += 1
        self.prints[key] = self._active = FakePrint(key, self._numbers)
        self.bed_clear = False
        if self.unbegun:  # the service dies right after recording it
            self.unbegun = False
            self._active.began = False
            self._end(self._active, "unbegun", "the service ended in between")
            return
        self.begun.append(started_key)
        asyncio.get_running_loop().call_later(self._seconds, lambda one: self._end(one, "done"), self._active)
        self.on_change()

    def _end(self, one, state, reason=""):
        if one is None or one.state != "printing":
            return
        one.state, one.reason = state, reason
        self._active = None
        if self._clears_after is not None:
            asyncio.get_running_loop().call_later(self._clears_after, self._clear)
        self.on_change()

    def _clear(self):
        if self._active is None:
            self.bed_clear = True
            self.on_change()

    # -- PrinterApi ------------------------------------------------------------------------------------------------

    async def run(self):
        await asyncio.Event().wait()

    def look(self):
        if not self.up:
            return PrinterSnapshot(reason="the printer's service does not answer")
        active = self._active
        reason = f"it prints {active.key}" if active else "" if self.operational else "no printer is connected"
        return PrinterSnapshot(
            is_known=True,
            is_idle=not reason,
            reason=reason,
            state="Printing" if active else "Operational",
            bed_clear=self.bed_clear,
            is_printing=bool(active),
            key=active.key if active else "",
            size=(200.0, 200.0, 200.0),
            hottest=300.0,
            heaters=self.heaters,
            tools=self.tools,
        )

    def path_for(self, file: FarmFile) -> str:
        return f"farm/{file.sha256[:12]}-{file.name}"

    async def has_file(self, printer_path, sha1, size):
        await self._carry_request()
        return self.files.get(printer_path) == (sha1, size)

    async def upload(self, path, file):
        await self._carry_request()
        self.files[self.path_for(file)] = file.sha1, file.size
        await self._carry_answer()
        return self.path_for(file)

    async def find_objections(self, printer_path):
        await self._carry_request()
        return self.objection

    async def get_newest_job(self):
        await self._carry_request()
        last = [*self.prints.values()][-1:]
        return JobMark(last[0].id, float(last[0].id)) if last else None

    async def start(self, printer_path, key, within):
        deadline = asyncio.get_running_loop().time() + within
        await self._carry_request()
        await asyncio.sleep(self.start_delay)
        if asyncio.get_running_loop().time() > deadline:
            raise PrinterUnreachable("it came too late")
        self._start(printer_path, key)
        await self._carry_answer()

    def _start(self, printer_path, key):
        known = self.prints.get(key)
        if known is not None and known.began:
            return
        for is_so, reason in (
            (known is not None, "it was recorded and never began"),
            (self._active is not None or not self.operational, "it does not fit the printer's state"),
            (not self.bed_clear, "nobody has said that the bed is clear"),
            (printer_path not in self.files, "there is no such file"),
        ):
            if is_so:
                self.refusals.append(reason)
                raise StartRefused(reason)
        self._begin(key, key)

    async def get_outcome(self, key, job_before):
        await self._carry_request()
        await self._carry_answer()
        job = self.prints.get(key)
        if job is None:
            is_known = job_before is not None and any(each.id == job_before.id for each in self.prints.values())
            return None if is_known else PrintOutcome("doubtful")
        return PrintOutcome(job.state, job.reason, 12.0, 345.0)

    async def cancel(self, key):
        await self._carry_request()
        if self._active is None or self._active.key != key:
            raise PrinterDeclined("this print is not under way")
        self._end(self._active, "cancelled")

    async def turn_heaters_off(self):
        await self._carry_request()
        self.cooled.append(self._active)

    async def pause(self):
        await self._carry_request()
        self.paused = True

    async def resume(self):
        await self._carry_request()
        self.paused = False

    async def confirm_bed_clear(self):
        await self._carry_request()
        if self._active is not None:
            raise PrinterDeclined("a print is in progress; the bed is not clear")
        self._clear()

    async def take_picture(self):
        await self._carry_request()
        return PICTURE

    async def remove(self, printer_path):
        await self._carry_request()
        self.files.pop(printer_path, None)

    async def _carry_request(self):
        await asyncio.sleep(0.01)
        if not self.up:
            raise PrinterUnreachable("the printer's service does not answer")

    async def _carry_answer(self):
        if self.loss_rate and self._chance.random() < self.loss_rate:
            await asyncio.sleep(1)
            raise PrinterUnreachable("the answer was lost")


class Killed(BaseException):
    """Raised where the process is killed."""


class AgentLife:
    """Counts an agent's steps, and kills it after a number of them; requests that it has sent are still executed."""

    def __init__(self, steps=None):
        self.limit = steps
        self.count = 0
        self.over = False
        self.last = ""

    def step(self, name):
        if self.over:
            raise Killed
        self.count += 1
        if self.limit is not None and self.count > self.limit:
            self.over, self.last = True, name
            raise Killed

    def wrap(self, thing, *names):
        """Return a proxy whose methods of these names count as steps, before, during and after the call."""
        return _CountingProxy(self, thing, names)

    def wrap_notes(self, diary):
        real = diary.note

        def note(**changes):
            self.step("before a note")
            real(**changes)
            self.step("after a note")

        diary.note = note


class _CountingProxy:
    def __init__(self, life, thing, names):
        object.__setattr__(self, "_wrapped", (life, thing, names))

    def __setattr__(self, name, value):
        setattr(self._wrapped[1], name, value)

    def __getattr__(self, name):
        life, thing, names = self._wrapped
        if name not in names:
            return getattr(thing, name)

        async def counted(*args, **more):
            life.step(f"before {name}")
            work = asyncio.ensure_future(getattr(thing, name)(*args, **more))
            work.add_done_callback(lambda task: task.cancelled() or task.exception())
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            life.step(f"while {name}")
            result = await asyncio.shield(work)
            life.step(f"after {name}")
            return result

        return counted
