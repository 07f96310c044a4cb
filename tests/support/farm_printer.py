"""A printer as its agent sees it, in memory: it tells what it has begun, whatever the agent believes."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass

from daemon.companions.farm.printer import (
    FarmFile,
    JobMark,
    PrinterDeclined,
    PrinterUnreachable,
    PrintOutcome,
    SeenPrinter,
    StartRefused,
)
from daemon.farm.messages import Tool

PICTURE = b"\xff\xd8picture\xff\xd9"


@dataclass
class FakePrint:
    """One print; `state` as that of an PrintOutcome."""

    key: str
    id: int
    state: str = "printing"
    reason: str = ""
    began: bool = True


class FakePrinter:
    """A PrinterApi; it outlives its agent.

    Attributes:
        begun: keys in the order in which prints have begun; by hand: "".
        up: its service answers.
        late: seconds that a start takes to arrive.
        lost: the share of answers that are lost.
        objection: what speaks against each file.
    """

    def __init__(self, seconds=20.0, *, clears_after=5.0, seed=0):
        self.begun = []
        self.prints = {}
        self.files = {}
        self.up = True
        self.operational = True
        self.late = 0.0
        self.lost = 0.0
        self.unbegun = False
        self.objection = ""
        self.paused = False
        self.bed_clear = True
        self.tools = (Tool("PLA", "black", 0.4),)
        self.refused = []
        self.cooled = []  # what was printed then
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

    def by_hand(self):
        """Begin a print as a person does at the printer's page."""
        if self._active is None:
            self._begin(f"hand-{self._numbers}", "")

    def stop_by_hand(self):
        """Cancel what is printed, at the printer's page."""
        self._end(self._active, "cancelled")

    def fail(self, reason):
        self._end(self._active, "failed", reason)

    def _begin(self, key, told):
        self._numbers += 1
        self.prints[key] = self._active = FakePrint(key, self._numbers)
        self.bed_clear = False
        if self.unbegun:  # recorded, and then the service dies
            self.unbegun = False
            self._active.began = False
            self._end(self._active, "unbegun", "the service ended in between")
            return
        self.begun.append(told)
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
            return SeenPrinter(reason="the printer's service does not answer")
        active = self._active
        reason = f"it prints {active.key}" if active else "" if self.operational else "no printer is connected"
        return SeenPrinter(
            known=True,
            idle=not reason,
            reason=reason,
            state="Printing" if active else "Operational",
            bed_clear=self.bed_clear,
            printing=bool(active),
            key=active.key if active else "",
            size=(200.0, 200.0, 200.0),
            hottest=300.0,
            heaters=self.heaters,
            tools=self.tools,
        )

    def where(self, file: FarmFile) -> str:
        return f"farm/{file.sha256[:12]}-{file.name}"

    async def has(self, where, sha1, size):
        await self._asked()
        return self.files.get(where) == (sha1, size)

    async def put(self, path, file):
        await self._asked()
        self.files[self.where(file)] = file.sha1, file.size
        await self._answered()
        return self.where(file)

    async def objections(self, where):
        await self._asked()
        return self.objection

    async def mark(self):
        await self._asked()
        last = [*self.prints.values()][-1:]
        return JobMark(last[0].id, float(last[0].id)) if last else None

    async def start(self, where, key, within):
        deadline = asyncio.get_running_loop().time() + within
        await self._asked()
        await asyncio.sleep(self.late)
        if asyncio.get_running_loop().time() > deadline:
            raise PrinterUnreachable("it came too late")
        self._start(where, key)
        await self._answered()

    def _start(self, where, key):
        known = self.prints.get(key)
        if known is not None and known.began:
            return
        for is_so, reason in (
            (known is not None, "it was recorded and never began"),
            (self._active is not None or not self.operational, "it does not fit the printer's state"),
            (not self.bed_clear, "nobody has said that the bed is clear"),
            (where not in self.files, "there is no such file"),
        ):
            if is_so:
                self.refused.append(reason)
                raise StartRefused(reason)
        self._begin(key, key)

    async def outcome(self, key, behind):
        await self._asked()
        await self._answered()
        found = self.prints.get(key)
        if found is None:
            known = behind is not None and any(each.id == behind.id for each in self.prints.values())
            return None if known else PrintOutcome("doubtful")
        return PrintOutcome(found.state, found.reason, 12.0, 345.0)

    async def cancel(self, key):
        await self._asked()
        if self._active is None or self._active.key != key:
            raise PrinterDeclined("it is not what is printed")
        self._end(self._active, "cancelled")

    async def cool(self):
        await self._asked()
        self.cooled.append(self._active)

    async def pause(self):
        await self._asked()
        self.paused = True

    async def resume(self):
        await self._asked()
        self.paused = False

    async def clear_bed(self):
        await self._asked()
        if self._active is not None:
            raise PrinterDeclined("a print is in progress; the bed is not clear")
        self._clear()

    async def picture(self):
        await self._asked()
        return PICTURE

    async def remove(self, where):
        await self._asked()
        self.files.pop(where, None)

    async def _asked(self):
        await asyncio.sleep(0.01)
        if not self.up:
            raise PrinterUnreachable("the printer's service does not answer")

    async def _answered(self):
        if self.lost and self._chance.random() < self.lost:
            await asyncio.sleep(1)
            raise PrinterUnreachable("the answer was lost")


class Killed(BaseException):
    """The process is gone, at this very place."""


class Life:
    """Counts what an agent does, and kills it at a step; what it has asked by then is done all the same."""

    def __init__(self, steps=None):
        self.left = steps
        self.count = 0
        self.over = False
        self.last = ""

    def step(self, name):
        if self.over:
            raise Killed
        self.count += 1
        if self.left is not None and self.count > self.left:
            self.over, self.last = True, name
            raise Killed

    def around(self, thing, *names):
        """Return a thing whose methods of these names count, before and behind what they do."""
        return _Counted(self, thing, names)

    def around_notes(self, diary):
        real = diary.note

        def note(**changes):
            self.step("before a note")
            real(**changes)
            self.step("behind a note")

        diary.note = note


class _Counted:
    def __init__(self, life, thing, names):
        object.__setattr__(self, "_given", (life, thing, names))

    def __setattr__(self, name, value):
        setattr(self._given[1], name, value)

    def __getattr__(self, name):
        life, thing, names = self._given
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
            life.step(f"behind {name}")
            return result

        return counted
