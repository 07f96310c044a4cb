"""Steps: the commands that a job sends besides its file, each of them exactly once, whichever host sends it.

The moves of a user's script, and those into and out of a pause, must neither be made twice nor left out.

Theory of operation. A host may be killed at any moment. It writes in this order:

    the job's snapshot: "step 7 is begun, it is M400"  →  the logbook's ring: the frame of step 7  →  the wire

So the next host finds one of three things:

* The snapshot does not name the step: nothing of it has left the host. It is sent as if for the first time.
* The snapshot names it, the ring has no frame of it: it never reached the wire. It is sent now, under its old number.
* The snapshot names it, the ring has its frame: the link has by now found out whether the printer accepted that line,
  and has sent it again from the ring if not (`gcode.recovery`). It is done, and is not sent here.

An effect (`daemon.core.job.effects`) always runs from its first line, whether the job has just entered the state or
returns to it. The commands that it sent before are not sent again: instead, `send` returns the answer that the snapshot
has for this index. That works only if the effect takes the same branches each time. So whatever decides a branch, be it
an answer of the printer or the configuration, passes through `observe`, `measure` or `recall`, or has a field in the
snapshot. If another command comes out all the same, as after an upgrade, `StepsDiffer` ends the job.

Steps of the script (`OF_SCRIPT`) have no index in a state: a pause may come in the middle of the script, and what is
left of it is run in the next state.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

from daemon.core.job.job_snapshot import JobSnapshot
from daemon.errors import StepsDiffer
from hal.printer import Printer

T = TypeVar("T")

OF_SCRIPT = -1  # in place of an index: a command of the job's script, which goes on from state to state


class Steps:
    """The steps of the job's present state, done and begun: `step`, `begun` and `said` of its snapshot."""

    def __init__(self, snapshot: JobSnapshot, keep: Callable[[], None]) -> None:
        """Begin, or go on from a snapshot; `keep` writes it."""
        self._snapshot = snapshot
        self._keep = keep
        self._at = 0  # the index of the effect's next step in this state
        self._answer: asyncio.Task[Sequence[str]] | None = None  # to the step begun; None: the previous host began it
        self._framed: Collection[int] = ()  # steps that the previous host has framed: they are done by now

    def enter(self) -> None:
        """Begin another state."""
        snapshot = self._snapshot
        snapshot.said.clear()
        self._at = 0
        if snapshot.begun is not None:
            snapshot.begun = (snapshot.begun[0], OF_SCRIPT)

    def reattach(self, framed: Collection[int]) -> None:
        """Go through the state again, without sending what was sent: steps that are `framed` are done by now."""
        self._at = 0
        self._framed = framed
        self._answer = None

    async def once(self, printer: Printer, command: str) -> None:
        """Send a command of the script, after the step that is begun."""
        await self.finish(printer)
        await self._send(printer, command, OF_SCRIPT)

    async def finish(self, printer: Printer) -> None:
        """Bring the step to its end that a cancelled effect, or the previous host, has begun."""
        snapshot = self._snapshot
        if snapshot.begun is None:
            return
        if self._answer is not None:
            await asyncio.shield(self._answer)
        elif snapshot.step not in self._framed:
            snapshot.step -= 1
            await self._send(printer, *snapshot.begun)
        snapshot.begun = None

    def drop(self) -> None:
        """Do not finish a step that an earlier state has begun."""
        if self._snapshot.begun is not None and self._snapshot.begun[1] == OF_SCRIPT:
            self._snapshot.begun = None

    async def send(self, printer: Printer, command: str) -> Sequence[str]:
        """Send a command of this state, or return what was answered to it when the state was gone through before.

        Raises:
            StepsDiffer: another command was sent at this index.
        """
        place, self._at = self._at, self._at + 1
        if place < len(self._snapshot.said):
            known, answer = self._snapshot.said[place]
            _compare(known, command)
            return answer
        answer = list(await self._new(printer, command, place))
        self._snapshot.said.append((command, answer))
        return answer

    async def _new(self, printer: Printer, command: str, place: int) -> Sequence[str]:
        snapshot = self._snapshot
        if snapshot.begun is None or snapshot.begun[1] != place:
            await self.finish(printer)
            return await self._send(printer, command, place)
        _compare(snapshot.begun[0], command)
        snapshot.begun = None
        if snapshot.step in self._framed:
            return ["ok"]  # what was really answered went to the previous host; scripts do not look at it
        snapshot.step -= 1
        return await self._send(printer, command, place)

    async def _send(self, printer: Printer, command: str, place: int) -> Sequence[str]:
        snapshot = self._snapshot
        snapshot.step += 1
        snapshot.begun = (command, place)
        self._keep()
        answer = self._answer = asyncio.ensure_future(printer.send(command, step=snapshot.step))
        answer.add_done_callback(_retrieve)
        answered = await asyncio.shield(answer)  # a step that was begun goes on if its effect is cancelled
        snapshot.begun = None
        return answered

    async def observe(self, look: Callable[[], Awaitable[list[str]]]) -> list[str]:
        """Return the lines that `look` found when the effect first came here; `look` must change nothing.

        Raises:
            StepsDiffer: a command was sent at this index.
        """
        place, self._at = self._at, self._at + 1
        if place < len(self._snapshot.said):
            known, lines = self._snapshot.said[place]
            _compare(known, "")
            return lines
        lines = await look()
        self._take_down(lines)
        return lines

    async def measure(self, look: Callable[[], Awaitable[T]]) -> T:
        """Return the value that `look` found when the effect first came here; it has to be one of JSON."""

        async def looked() -> list[str]:
            return [json.dumps(await look())]

        [text] = await self.observe(looked)
        value: T = json.loads(text)
        return value

    def recall(self, make: Callable[[], T]) -> T:
        """Return the value that `make` returned when the effect first came here; it has to be one of JSON."""
        place, self._at = self._at, self._at + 1
        if place < len(self._snapshot.said):
            [text] = self._snapshot.said[place][1]
            value: T = json.loads(text)
            return value
        value = make()
        self._take_down([json.dumps(value)])
        return value

    def _take_down(self, lines: list[str]) -> None:
        self._snapshot.said.append(("", lines))
        self._keep()


def _retrieve(answer: "asyncio.Task[Sequence[str]]") -> None:
    """Take the outcome of a command whose effect may be gone; whoever waits for it still gets it."""
    if not answer.cancelled():
        answer.exception()


def _compare(known: str, command: str) -> None:
    if known != command:
        raise StepsDiffer(f"the previous process sent {known!r} where this one would send {command!r}")
