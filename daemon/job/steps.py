"""Steps: the commands that a job sends besides its file, each of them once, whichever host sends it.

A script of the user's and the way into and out of a pause are moves that must not be made twice, nor left out. The
job's page (`daemon.job.page`) says which command was begun and what was answered to those before it; the logbook says
whether the one that was begun had gone on the wire, and the printer whether it had arrived.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from daemon.errors import StepsDiffer
from hal.printer import Printer

QUERIES = ("M114",)  # asked again where the answer was lost
OF_SCRIPT = -1


@dataclass(slots=True)
class Begun:
    """A command that was handed to the printer's link and not answered.

    Attributes:
        command: as it was sent.
        place: among the commands of this state; OF_SCRIPT: of the job's script, which goes on from state to state.
        answer: what this host waits for; None: another host has begun it.
    """

    command: str
    place: int
    answer: "asyncio.Task[Sequence[str]] | None" = None


class Steps:
    """What was done in the job's present state, and what is under way."""

    def __init__(self, keep: Callable[[], None]) -> None:
        """Begin; `keep` writes the job's page."""
        self.number = 0  # of the step begun last, counted over the whole job
        self.begun: Begun | None = None
        self.said: list[tuple[str, list[str]]] = []  # commands sent in this state, and their answers
        self._at = 0  # how many of them the effect has gone through
        self._keep = keep
        self._framed: Collection[int] = ()  # steps that another host has put on the wire

    def enter(self) -> None:
        """Begin another state."""
        self.said.clear()
        self._at = 0
        if self.begun is not None:
            self.begun.place = OF_SCRIPT

    def come_back(self, framed: Collection[int]) -> None:
        """Go through the state again, without sending what was sent: steps that are `framed` have arrived by now."""
        self._at = 0
        self._framed = framed
        if self.begun is not None:
            self.begun.answer = None

    async def once(self, printer: Printer, command: str) -> None:
        """Send a command of the script, behind the one that is under way."""
        await self.finish(printer)
        await self._send(printer, command, OF_SCRIPT)

    async def finish(self, printer: Printer) -> None:
        """End the step that is under way, which an effect that was ended or another host has begun."""
        begun = self.begun
        if begun is None:
            return
        if begun.answer is not None:
            await asyncio.shield(begun.answer)
        elif self.number not in self._framed:
            self.number -= 1
            await self._send(printer, begun.command, begun.place)
        self.begun = None

    def drop(self) -> None:
        """Do not finish what is under way, of an earlier state."""
        if self.begun is not None and self.begun.place == OF_SCRIPT:
            self.begun = None

    async def send(self, printer: Printer, command: str) -> Sequence[str]:
        """Send a command of this state, or return what was answered to it when the state was gone through before.

        Raises:
            StepsDiffer: another one was sent at this place.
        """
        place, self._at = self._at, self._at + 1
        if place < len(self.said):
            known, answer = self.said[place]
            _compare(known, command)
            return answer
        answer = list(await self._new(printer, command, place))
        self.said.append((command, answer))
        return answer

    async def _new(self, printer: Printer, command: str, place: int) -> Sequence[str]:
        begun = self.begun
        if begun is None or begun.place != place:
            await self.finish(printer)
            return await self._send(printer, command, place)
        _compare(begun.command, command)
        self.begun = None
        if self.number in self._framed and command not in QUERIES:
            return ["ok"]
        self.number -= 1
        return await self._send(printer, command, place)

    async def _send(self, printer: Printer, command: str, place: int) -> Sequence[str]:
        self.number += 1
        self.begun = Begun(command, place)
        self._keep()
        answer = self.begun.answer = asyncio.ensure_future(printer.send(command, step=self.number))
        answer.add_done_callback(_seen)
        answered = await asyncio.shield(answer)  # what an ended effect has begun goes on all the same
        self.begun = None
        return answered

    def note(self, make: Callable[[], list[str]]) -> list[str]:
        """Return what `make` told when the state was first gone through: what the way on depends on."""
        place, self._at = self._at, self._at + 1
        if place < len(self.said):
            return self.said[place][1]
        known = make()
        self.said.append(("", known))
        self._keep()
        return known


def _seen(answer: "asyncio.Task[Sequence[str]]") -> None:
    """Take the outcome of a command whose effect may be gone; whoever waits for it still gets it."""
    if not answer.cancelled():
        answer.exception()


def _compare(known: str, command: str) -> None:
    if known != command:
        raise StepsDiffer(f"the host before sent {known!r} where this one would send {command!r}")
