"""Companions: processes beside core and front that add features, such as power switches. No print depends on them.

They use the front's API: they report their states (`store_report`), and poll for requests (`requests`). Only the latest
state of each companion and a few waiting requests are stored. A companion that no longer polls is away, and requests to
it are refused at once.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import field
from itertools import count
from typing import Any

from daemon.config.sections import COMPANIONS, describe_switched_off, unit_of
from daemon.errors import CompanionAway, NoSuchCompanion
from gcode.frozen import frozen, mutable

POLL_TIMEOUT = 25.0  # s after which a poll without requests is answered
AWAY_TIMEOUT = 40.0  # s without a poll or report, after which a companion is away
MAX_WAITING = 16  # requests to one companion

GOING_OFF = "goingOff"  # in the state of `power`: it is about to switch the printer off
GOING_OFF_TIMEOUT = 25.0  # s for which such a report is valid: a running companion repeats it every 20 s

LOWEST_REFUSAL_STATUS = 300  # a reply with this HTTP status or a higher one refuses the request

MAX_MARKS = 256  # the latest marks of a companion's messages, by which repeated messages are recognised

ALLOWED_MESSAGES: dict[str, frozenset[str]] = {
    "power": frozenset({
        "events FilamentChanged", "events FilamentRunout", "events PowerCut", "events PowerOffByItself",
        "events PowerOffFailed", "events plugin_psucontrol_psu_state_changed", "plugins psucontrol",
    }),
    "timelapse": frozenset({
        "events CaptureStart", "events CaptureDone", "events CaptureFailed", "events MovieRendering",
        "events MovieDone", "events MovieFailed", "events PostRollStart", "events PostRollEnd", "messages timelapse",
    }),
}  # fmt: skip
"""The messages that each companion may send to clients; never the daemon's own events, which clients act on."""

Request = dict[str, Any]
"""Fields: `id`; `do`, the action; `with`, its parameters; `scope` of the client's key."""


@frozen
class CompanionReply:
    """A companion's answer: an HTTP status, and JSON or None."""

    status: int
    body: Any = None


@mutable
class _Companion:
    """The stored state of one companion."""

    state: Mapping[str, Any] | None = None
    reported_at: float = 0.0
    has_requests: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: deque[Request] = field(default_factory=deque)
    replies: dict[int, "asyncio.Future[CompanionReply]"] = field(default_factory=dict)
    polls: int = 0  # open polls
    last_seen: float | None = None
    marks: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_MARKS))
    timer: asyncio.TimerHandle | None = None


class Companions:
    """The companions that are switched on."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self._companions = {name: _Companion() for name in sorted(names)}
        # random, as a companion that hung may still answer requests of the previous front
        self._numbers = count(secrets.randbelow(2**48) + 1)
        self._listeners: list[Callable[[], None]] = []

    def is_on(self, name: str) -> bool:
        """Tell whether this companion is switched on."""
        return name in self._companions

    def state(self, name: str) -> Mapping[str, Any] | None:
        """Return a companion's latest state; None: it has not reported, or is not switched on."""
        return self._companions[name].state if name in self._companions else None

    def is_away(self, name: str) -> bool:
        """Tell whether a companion is away."""
        companion = self._find(name)
        return not companion.polls and (companion.last_seen is None or _now() - companion.last_seen >= AWAY_TIMEOUT)

    def as_json(self) -> dict[str, Any]:
        """Return the companions for pages, by name."""
        return {name: {"state": each.state, "away": self.is_away(name)} for name, each in self._companions.items()}

    def reason_not_to_print(self) -> str | None:
        """Return why no print may begin or resume now: the printer is about to be switched off; None: prints may."""
        companion = self._companions.get("power")
        if companion is None or companion.state is None or companion.state.get(GOING_OFF) is not True:
            return None
        if _now() - companion.reported_at >= GOING_OFF_TIMEOUT:
            return None
        return "the printer is being switched off: switch it on again before you print"

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` when `as_json` may have changed."""
        self._listeners.append(listener)

    def store_report(self, name: str, state: Mapping[str, Any] | None, replies: Mapping[int, CompanionReply]) -> None:
        """Store a companion's report: its state, unless that is None, and its replies to requests.

        Raises:
            NoSuchCompanion: it is not switched on.
        """
        companion = self._find(name)
        for number, reply in replies.items():
            future = companion.replies.get(number)
            if future is not None and not future.done():
                future.set_result(reply)
        self._on_sign_of_life(companion)
        if state is not None:
            companion.reported_at = _now()
            if state != companion.state:
                companion.state = state
                self._notify()

    def is_new(self, name: str, mark: str) -> bool:
        """Tell whether this mark is new, and store it: a companion repeats a report whose answer was lost."""
        marks = self._find(name).marks
        if mark in marks:
            return False
        marks.append(mark)
        return True

    async def requests(self, name: str) -> list[Request]:
        """Wait for requests to a companion, and return them; empty: there were none within POLL_TIMEOUT.

        Raises:
            NoSuchCompanion: it is not switched on.
        """
        companion = self._find(name)
        was_away = self.is_away(name)
        companion.polls += 1
        try:
            if was_away:
                self._notify()
            async with asyncio.timeout(POLL_TIMEOUT):
                await companion.has_requests.wait()
        except TimeoutError:
            return []
        finally:
            companion.polls -= 1
            self._on_sign_of_life(companion)
        requests = [*companion.waiting]
        companion.waiting.clear()
        companion.has_requests.clear()
        return requests

    def is_awaited(self, name: str, number: int) -> bool:
        """Tell whether a client still waits for the reply to the request with this number.

        Raises:
            NoSuchCompanion: it is not switched on.
        """
        reply = self._find(name).replies.get(number)
        return reply is not None and not reply.done()

    async def ask(
        self, name: str, do: str, parameters: Mapping[str, Any] | None = None, *, scope: str = "", within: float = 10.0
    ) -> CompanionReply:
        """Send a companion a request, and return its reply.

        Args:
            name: the companion.
            do: the action.
            parameters: of the action.
            scope: the scope of the client's key, for the companion to check.
            within: s to wait for the reply.

        Raises:
            NoSuchCompanion: it is not switched on.
            CompanionAway: it is away, is too busy, or does not reply in time; it may still carry out the request.
        """
        companion = self._find(name)
        if self.is_away(name):
            raise CompanionAway(
                f"the companion {name} is switched on, but not running: sudo systemctl enable --now {unit_of(name)}"
            )
        if len(companion.waiting) >= MAX_WAITING:
            raise CompanionAway(f"the companion {name} is still busy with earlier requests")
        number = next(self._numbers)
        request: Request = {"id": number, "do": do, "with": dict(parameters or {}), "scope": scope}
        reply: asyncio.Future[CompanionReply] = asyncio.get_running_loop().create_future()
        companion.replies[number] = reply
        companion.waiting.append(request)
        companion.has_requests.set()
        try:
            async with asyncio.timeout(within):
                return await reply
        except TimeoutError:
            raise CompanionAway(f"the companion {name} has not answered within {within:g} s") from None
        finally:
            del companion.replies[number]
            if request in companion.waiting:  # not handed over yet, and the client no longer waits
                companion.waiting.remove(request)
                if not companion.waiting:
                    companion.has_requests.clear()

    def close(self) -> None:
        """Stop."""
        for companion in self._companions.values():
            if companion.timer is not None:
                companion.timer.cancel()

    def _find(self, name: str) -> _Companion:
        if name not in COMPANIONS:
            raise NoSuchCompanion(f"there is no companion {name!r}; there are: {', '.join(COMPANIONS)}")
        if name not in self._companions:
            raise NoSuchCompanion(describe_switched_off(name))
        return self._companions[name]

    def _on_sign_of_life(self, companion: _Companion) -> None:
        """Record a sign of life; if none follows within AWAY_TIMEOUT, notify listeners."""
        companion.last_seen = _now()
        if companion.timer is not None:
            companion.timer.cancel()
        companion.timer = asyncio.get_running_loop().call_later(AWAY_TIMEOUT, self._notify)

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()


def _now() -> float:
    return asyncio.get_running_loop().time()
