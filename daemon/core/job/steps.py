"""Steps: the commands that a job sends beside its file, each exactly once, even if the host changes in between.

A move of a user's script, or a move into or out of a pause, must be made once, neither twice nor never.

Theory of operation. A host may be killed at any moment. It writes in this order:

    the job's snapshot: "step 7 is begun: M400"  →  the logbook's ring: the frame of step 7  →  the wire

So the next host finds one of three things:

* The snapshot does not name the step: it never left the host, and is sent for the first time.
* The snapshot names the step, and the ring has no frame of it: it never reached the wire, and is sent under its old
  number.
* The snapshot names the step, and the ring has its frame: by now the link has found out whether the printer has
  accepted that line, and otherwise has sent it again from the ring (`gcode.recovery`). So the step is done. A line that
  was accepted and comes again is refused or dropped, not executed (marlin-plain-lines.txt, marlin-2.1-plain-lines.txt).

An effect (`daemon.core.job.effects`) always runs from its first line, whether the job has just entered the state or
returns to it. The commands that it has sent before are not sent again: the snapshot has them by their index. This works
only if the effect takes the same branches each time. So whatever decides a branch, such as an answer of the printer or
a value of the configuration, goes through `observe`, `measure` or `recall`, or has a field in the snapshot. If an
effect comes to another command nevertheless, for example after an upgrade, `StepsDiffer` ends the job.

Steps of the script (`OF_SCRIPT`) have no index in a state: a pause may come in the middle of the script, and then the
remaining commands are sent in the next state.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar, cast

from daemon.core.job.job_snapshot import JobSnapshot
from daemon.errors import StepsDiffer
from hal.printer import Printer

T = TypeVar("T")

OF_SCRIPT = -1  # in place of an index, for a command of the job's script, which may go on in the next state


class Steps:
    """The steps of the job's present state; the snapshot has them in `step`, `open_step` and `passed_steps`."""

    def __init__(self, snapshot: JobSnapshot, keep: Callable[[], None]) -> None:
        """Start from a snapshot; `keep` writes the snapshot."""
        self._snapshot = snapshot
        self._keep = keep
        self._index = 0  # the index of the effect's next step in this state
        self._answer: asyncio.Task[Sequence[str]] | None = None  # to the open step; None: the previous host began it
        self._framed_steps: Collection[int] = ()  # those that the previous host has framed; they are done

    def enter_state(self) -> None:
        """Enter another state; a step that is still open becomes a step of the script."""
        snapshot = self._snapshot
        snapshot.passed_steps.clear()
        self._index = 0
        if snapshot.open_step is not None:
            snapshot.open_step = (snapshot.open_step[0], OF_SCRIPT)

    def reattach(self, framed: Collection[int]) -> None:
        """Run the state again from its start; the steps in `framed` are done and are not sent again."""
        self._index = 0
        self._framed_steps = framed
        self._answer = None

    async def send_of_script(self, printer: Printer, command: str) -> None:
        """Finish the open step, if any; then send a command of the script."""
        await self._finish(printer)
        await self._send(printer, command, OF_SCRIPT)

    @property
    def is_repeated(self) -> bool:
        """The effect has done a step of this state before, so it does not run for the first time."""
        return bool(self._snapshot.passed_steps)

    async def finish_earlier_step(self, printer: Printer) -> None:
        """Finish the open step if it is of an earlier state or of the script; one of this state is left to `send`."""
        if self._snapshot.open_step is not None and self._snapshot.open_step[1] == OF_SCRIPT:
            await self._finish(printer)

    async def _finish(self, printer: Printer) -> None:
        """Finish the open step, which a cancelled effect or the previous host has begun."""
        snapshot = self._snapshot
        if snapshot.open_step is None:
            return
        if self._answer is not None:
            await asyncio.shield(self._answer)
        elif snapshot.step not in self._framed_steps:
            snapshot.step -= 1
            await self._send(printer, *snapshot.open_step)
        snapshot.open_step = None

    def drop_earlier_step(self) -> None:
        """Give up the open step if it is of an earlier state or of the script."""
        if self._snapshot.open_step is not None and self._snapshot.open_step[1] == OF_SCRIPT:
            self._snapshot.open_step = None

    async def send(self, printer: Printer, command: str) -> None:
        """Send a command of this state, unless it was sent before.

        The snapshot says that the command was answered, but does not have the answer: the answer may have gone to the
        previous host, and a long answer (M503, M20) would not fit into the logbook.

        Raises:
            StepsDiffer: another command was sent at this index.
        """
        index, self._index = self._index, self._index + 1
        if index < len(self._snapshot.passed_steps):
            previous, _ = self._snapshot.passed_steps[index]
            _compare(previous, command)
            return
        await self._send_new(printer, command, index)
        self._snapshot.passed_steps.append((command, []))

    async def _send_new(self, printer: Printer, command: str, index: int) -> None:
        snapshot = self._snapshot
        if snapshot.open_step is None or snapshot.open_step[1] != index:
            await self._finish(printer)
            await self._send(printer, command, index)
            return
        _compare(snapshot.open_step[0], command)
        snapshot.open_step = None
        if snapshot.step not in self._framed_steps:
            snapshot.step -= 1
            await self._send(printer, command, index)

    async def _send(self, printer: Printer, command: str, index: int) -> None:
        snapshot = self._snapshot
        snapshot.step += 1
        snapshot.open_step = (command, index)
        self._keep()
        answer = self._answer = asyncio.ensure_future(printer.send(command, step=snapshot.step))
        answer.add_done_callback(_retrieve)
        await asyncio.shield(answer)  # a step in flight is not cancelled with its effect
        snapshot.open_step = None

    async def observe(self, look: Callable[[], Awaitable[list[str]]]) -> list[str]:
        """Return the lines that `look` returned when the effect first came to this step; `look` leaves all as it was.

        Raises:
            StepsDiffer: a command was sent at this index.
        """
        if (lines := self._pass_on()) is None:
            self._remember(lines := await look())
        return lines

    async def measure(self, look: Callable[[], Awaitable[T]]) -> T:
        """Return the value that `look` returned when the effect first came to this step: a value that JSON can hold.

        Raises:
            StepsDiffer: a command was sent at this index.
        """
        if (lines := self._pass_on()) is None:
            self._remember(lines := _as_lines(await look()))
        return cast("T", _value_in(lines))

    def recall(self, make: Callable[[], T]) -> T:
        """Return the value that `make` returned when the effect first came to this step: a value that JSON can hold.

        Raises:
            StepsDiffer: a command was sent at this index.
        """
        if (lines := self._pass_on()) is None:
            self._remember(lines := _as_lines(make()))
        return cast("T", _value_in(lines))

    def _pass_on(self) -> list[str] | None:
        """Go on to the next step; return what was kept of this one, None: the effect has not come to it before."""
        index, self._index = self._index, self._index + 1
        if index >= len(self._snapshot.passed_steps):
            return None
        previous, lines = self._snapshot.passed_steps[index]
        _compare(previous, "")
        return lines

    def _remember(self, lines: list[str]) -> None:
        self._snapshot.passed_steps.append(("", lines))
        self._keep()


def _as_lines(value: object) -> list[str]:
    """Return a value as the snapshot keeps it: as one line, of JSON."""
    return [json.dumps(value)]


def _value_in(lines: list[str]) -> object:
    """Return the value that `_as_lines` has made lines of."""
    return json.loads(lines[0])


def _retrieve(answer: "asyncio.Task[Sequence[str]]") -> None:
    """Retrieve the outcome of a command, so that asyncio does not warn if the effect that sent it was cancelled."""
    if not answer.cancelled():
        answer.exception()


def _compare(previous: str, command: str) -> None:
    if previous != command:
        raise StepsDiffer(f"the previous process sent {previous!r} where this one would send {command!r}")
