"""Companions: processes beside core and front that add something, as power switches; no print depends on one.

They come to the front over its API: they say what is so (`hear`), and ask what they are to do (`requests`). Kept is the
last word of each, and a few requests that wait; a companion that has gone is away, and whatever is asked of it then
is refused at once.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import field
from itertools import count
from typing import Any

from daemon.errors import CompanionAway, NoSuchCompanion
from gcode.frozen import frozen, mutable

HELD = 25.0  # s that a companion's question for requests is held at most
AWAY = 40.0  # s without one: it is away
MOST_WAITING = 16  # requests to one companion

GOING_OFF = "goingOff"  # of what `power` says: it is about to switch the printer off
HOLDS = 25.0  # s that this counts: it is said again each 20 s, and one that is killed meanwhile says nothing more

MOST_HEARD = 256  # marks of what one has said, by which it is heard once

SAYS: dict[str, frozenset[str]] = {
    "power": frozenset({
        "events FilamentChanged", "events FilamentRunout", "events PowerCut", "events PowerOffByItself",
        "events PowerOffFailed", "events plugin_psucontrol_psu_state_changed", "plugins psucontrol",
    }),
    "timelapse": frozenset({
        "events CaptureStart", "events CaptureDone", "events CaptureFailed", "events MovieRendering",
        "events MovieDone", "events MovieFailed", "events PostRollStart", "events PostRollEnd", "messages timelapse",
    }),
}  # fmt: skip
"""What clients may hear from each companion. The daemon's own events are not among it: others act upon those."""

Request = dict[str, Any]
"""`id`, `do`, `with` and `scope`: what the key of whoever asks allows."""


@frozen
class CompanionReply:
    """What a companion answers: HTTP's status, and JSON or None."""

    status: int
    body: Any = None


@mutable
class _Desk:
    """What is kept of one companion."""

    state: Mapping[str, Any] | None = None
    told_at: float = 0.0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: deque[Request] = field(default_factory=deque)
    replies: dict[int, "asyncio.Future[CompanionReply]"] = field(default_factory=dict)
    holding: int = 0  # questions for requests that are held now
    seen: float | None = None
    heard: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_HEARD))
    timer: asyncio.TimerHandle | None = None


class Companions:
    """Those that are switched on."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self._desks = {name: _Desk() for name in sorted(names)}
        # one that hangs may still have the requests of the front before this one
        self._numbers = count(secrets.randbelow(2**48) + 1)
        self._listeners: list[Callable[[], None]] = []

    def on(self, name: str) -> bool:
        """Tell whether this one is switched on."""
        return name in self._desks

    def state(self, name: str) -> Mapping[str, Any] | None:
        """Return what it has said last; None: nothing, or it is not switched on."""
        return self._desks[name].state if name in self._desks else None

    def away(self, name: str) -> bool:
        """Tell whether it has not been here lately."""
        desk = self._find(name)
        return not desk.holding and (desk.seen is None or _now() - desk.seen >= AWAY)

    def as_json(self) -> dict[str, Any]:
        """Return what pages are told, by name."""
        return {name: {"state": desk.state, "away": self.away(name)} for name, desk in self._desks.items()}

    def holds(self) -> str | None:
        """Return why nothing is to be printed now, None: no companion is about to switch the printer off."""
        desk = self._desks.get("power")
        if desk is None or desk.state is None or desk.state.get(GOING_OFF) is not True:
            return None
        held = _now() - desk.told_at < HOLDS
        return "the printer is being switched off: start the print when that is done" if held else None

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` when there is something else to tell."""
        self._listeners.append(listener)

    def hear(self, name: str, state: Mapping[str, Any] | None, replies: Mapping[int, CompanionReply]) -> None:
        """Take what a companion says: its state, if that is another one, and what it answers.

        Raises:
            NoSuchCompanion: it is not switched on.
        """
        desk = self._find(name)
        for number, reply in replies.items():
            future = desk.replies.get(number)
            if future is not None and not future.done():
                future.set_result(reply)
        self._on_sign_of_life(desk)
        if state is not None:
            desk.told_at = _now()
            if state != desk.state:
                desk.state = state
                self._tell()

    def is_new(self, name: str, mark: str) -> bool:
        """Tell whether a companion says this for the first time; a request without an answer is made again."""
        heard = self._find(name).heard
        if mark in heard:
            return False
        heard.append(mark)
        return True

    async def requests(self, name: str) -> list[Request]:
        """Return what is asked of a companion, as soon as there is something; nothing after a while.

        Raises:
            NoSuchCompanion: it is not switched on.
        """
        desk = self._find(name)
        was_away = self.away(name)
        desk.holding += 1
        try:
            if was_away:
                self._tell()
            async with asyncio.timeout(HELD):
                await desk.asked.wait()
        except TimeoutError:
            return []
        finally:
            desk.holding -= 1
            self._on_sign_of_life(desk)
        taken = [*desk.waiting]
        desk.waiting.clear()
        desk.asked.clear()
        return taken

    def waits(self, name: str, number: int) -> bool:
        """Tell whether somebody still waits for what is asked of a companion by this number.

        Raises:
            NoSuchCompanion: it is not switched on.
        """
        reply = self._find(name).replies.get(number)
        return reply is not None and not reply.done()

    async def ask(
        self, name: str, do: str, given: Mapping[str, Any] | None = None, *, scope: str = "", within: float = 10.0
    ) -> CompanionReply:
        """Have a companion do something; return what it answers.

        Args:
            name: the companion.
            do: what.
            given: with what.
            scope: what the key of whoever asks allows, for the companion to judge by.
            within: s that its answer is waited for.

        Raises:
            NoSuchCompanion: it is not switched on.
            CompanionAway: it is not there, has too much to do, or does not answer in time; what was asked may be done.
        """
        desk = self._find(name)
        if self.away(name):
            raise CompanionAway(f"{name} is switched on, but not running: sudo systemctl enable --now nozzled-{name}")
        if len(desk.waiting) >= MOST_WAITING:
            raise CompanionAway(f"{name} is still busy with earlier requests")
        number = next(self._numbers)
        request: Request = {"id": number, "do": do, "with": dict(given or {}), "scope": scope}
        reply: asyncio.Future[CompanionReply] = asyncio.get_running_loop().create_future()
        desk.replies[number] = reply
        desk.waiting.append(request)
        desk.asked.set()
        try:
            async with asyncio.timeout(within):
                return await reply
        except TimeoutError:
            raise CompanionAway(f"{name} has not answered within {within:g} s") from None
        finally:
            del desk.replies[number]
            if request in desk.waiting:  # what nobody waits for any more is not done
                desk.waiting.remove(request)

    def close(self) -> None:
        """End what waits."""
        for desk in self._desks.values():
            if desk.timer is not None:
                desk.timer.cancel()

    def _find(self, name: str) -> _Desk:
        if name not in self._desks:
            raise NoSuchCompanion(f"{name} is not switched on: the configuration file has no section for it")
        return self._desks[name]

    def _on_sign_of_life(self, desk: _Desk) -> None:
        """Note that it is there, and look again when that is long ago."""
        desk.seen = _now()
        if desk.timer is not None:
            desk.timer.cancel()
        desk.timer = asyncio.get_running_loop().call_later(AWAY, self._tell)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def _now() -> float:
    return asyncio.get_running_loop().time()
