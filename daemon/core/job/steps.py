"""Steps: the commands that a job sends beside its file, each exactly once, even if the host changes in between.

A move of a user's script, or one into or out of a pause, must be made neither twice nor not at all.

Theory of operation. A host may be killed at any moment. It writes in this order:

    the job's snapshot: "step 7 is begun: M400"  →  the logbook's ring: the frame of step 7  →  the wire

So the next host finds one of three things:

* The snapshot does not name the step. It never left the host, and is sent for the first time.
* The snapshot names it, and the ring has no frame of it. It never reached the wire, and is sent under its old number.
* The snapshot names it, and the ring has its frame. By now the link has found out whether the printer accepted that
  line, and if not has sent it again from the ring (`gcode.recovery`). It is done.

An effect (`daemon.core.job.effects`) always runs from its first line, whether the job has just entered the state or
returns to it. The commands that it sent before are not sent again: the snapshot has them by their index. That works
only if the effect takes the same branches each time. So whatever decides a branch, an answer of the printer or a value
of the configuration, goes through `observe`, `measure` or `recall`, or has a field in the snapshot. If an effect comes
to another command all the same, say after an upgrade, `StepsDiffer` ends the job.

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

OF_SCRIPT = -1  # instead of an index: a command of the job's script, which continues from state to state


class Steps:
    """The steps of the job's present state, kept in its snapshot's `step`, `open_step` and `answers`."""

    def __init__(self, snapshot: JobSnapshot, keep: Callable[[], None]) -> None:
        """Start from a snapshot; `keep` writes it."""
        self._snapshot = snapshot
        self._keep = keep
        self._at = 0  # the index of the effect's next step in this state
        self._answer: asyncio.Task[Sequence[str]] | None = None  # to the step begun; None: the previous host began it
        self._framed: Collection[int] = ()  # steps that the previous host has framed: they are done by now

    def enter(self) -> None:
        """Begin another state."""
        snapshot = self._snapshot
        snapshot.answers.clear()
        self._at = 0
        if snapshot.open_step is not None:
            snapshot.open_step = (snapshot.open_step[0], OF_SCRIPT)

    def reattach(self, framed: Collection[int]) -> None:
        """Run the state again from its start; the steps in `framed` are done and are not sent again."""
        self._at = 0
        self._framed = framed
        self._answer = None

    async def once(self, printer: Printer, command: str) -> None:
        """Send a command of the script, after the unfinished step, if any."""
        await self._finish(printer)
        await self._send(printer, command, OF_SCRIPT)

    @property
    def begun(self) -> bool:
        """The effect has done a step of this state before: it runs again, and not for the first time."""
        return bool(self._snapshot.answers)

    async def finish_earlier(self, printer: Printer) -> None:
        """Finish the step that an earlier state, or the script, has begun. One of this state is left to `send`."""
        if self._snapshot.open_step is not None and self._snapshot.open_step[1] == OF_SCRIPT:
            await self._finish(printer)

    async def _finish(self, printer: Printer) -> None:
        """Finish the step that a cancelled effect, or the previous host, has begun."""
        snapshot = self._snapshot
        if snapshot.open_step is None:
            return
        if self._answer is not None:
            await asyncio.shield(self._answer)
        elif snapshot.step not in self._framed:
            snapshot.step -= 1
            await self._send(printer, *snapshot.open_step)
        snapshot.open_step = None

    def drop(self) -> None:
        """Give up a step that an earlier state has begun."""
        if self._snapshot.open_step is not None and self._snapshot.open_step[1] == OF_SCRIPT:
            self._snapshot.open_step = None

    async def send(self, printer: Printer, command: str) -> None:
        """Send a command of this state, unless it was sent before.

        The snapshot notes that it was answered, but not the answer: that may have gone to the previous host, and a long
        one (M503, M20) would not fit into the logbook.

        Raises:
            StepsDiffer: another command was sent at this index.
        """
        index, self._at = self._at, self._at + 1
        if index < len(self._snapshot.answers):
            previous, _ = self._snapshot.answers[index]
            _compare(previous, command)
            return
        await self._new(printer, command, index)
        self._snapshot.answers.append((command, []))

    async def _new(self, printer: Printer, command: str, index: int) -> None:
        snapshot = self._snapshot
        if snapshot.open_step is None or snapshot.open_step[1] != index:
            await self._finish(printer)
            await self._send(printer, command, index)
            return
        _compare(snapshot.open_step[0], command)
        snapshot.open_step = None
        if snapshot.step not in self._framed:
            snapshot.step -= 1
            await self._send(printer, command, index)

    async def _send(self, printer: Printer, command: str, index: int) -> None:
        snapshot = self._snapshot
        snapshot.step += 1
        snapshot.open_step = (command, index)
        self._keep()
        answer = self._answer = asyncio.ensure_future(printer.send(command, step=snapshot.step))
        answer.add_done_callback(_retrieve)
        await asyncio.shield(answer)  # a step in flight outlives its effect
        snapshot.open_step = None

    async def observe(self, look: Callable[[], Awaitable[list[str]]]) -> list[str]:
        """Return the lines that `look` returned when the effect first came here; `look` must change nothing.

        Raises:
            StepsDiffer: a command was sent at this index.
        """
        index, self._at = self._at, self._at + 1
        if index < len(self._snapshot.answers):
            previous, lines = self._snapshot.answers[index]
            _compare(previous, "")
            return lines
        lines = await look()
        self._remember(lines)
        return lines

    async def measure(self, look: Callable[[], Awaitable[T]]) -> T:
        """Return the value that `look` returned when the effect first came here; JSON must be able to hold it."""

        async def looked() -> list[str]:
            return [json.dumps(await look())]

        [text] = await self.observe(looked)
        value: T = json.loads(text)
        return value

    def recall(self, make: Callable[[], T]) -> T:
        """Return the value that `make` returned when the effect first came here; JSON must be able to hold it."""
        index, self._at = self._at, self._at + 1
        if index < len(self._snapshot.answers):
            [text] = self._snapshot.answers[index][1]
            value: T = json.loads(text)
            return value
        value = make()
        self._remember([json.dumps(value)])
        return value

    def _remember(self, lines: list[str]) -> None:
        self._snapshot.answers.append(("", lines))
        self._keep()


def _retrieve(answer: "asyncio.Task[Sequence[str]]") -> None:
    """Retrieve the outcome of a command whose effect may have been cancelled, so that asyncio does not warn of it."""
    if not answer.cancelled():
        answer.exception()


def _compare(previous: str, command: str) -> None:
    if previous != command:
        raise StepsDiffer(f"the previous process sent {previous!r} where this one would send {command!r}")
