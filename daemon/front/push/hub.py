"""Hub: everybody who listens on a socket, and what there is to tell them."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from daemon import OCTOPRINT, __version__
from daemon.errors import CoreAway
from daemon.front.access.attempts import network_of
from daemon.front.access.strangers import REQUEST
from daemon.front.events import Notice
from daemon.front.push.announcer import Announcer
from daemon.front.push.look import Look, Looks, ToldLines
from daemon.front.push.motion import Motion
from daemon.front.push.page import Pages
from daemon.front.push.statuses import Moment
from daemon.front.push.subscriber import Send, Subscriber
from daemon.front.views.job import JobView, at_once
from daemon.front.views.seen import seen_of
from daemon.front.views.temperatures import TemperatureHistory, is_heater, readings
from hal.printer import ActionRequested, Event, TemperaturesRead

if TYPE_CHECKING:
    from daemon.bridge.words import Selection
    from daemon.front.front import Front

TICK = 1.0
"""Seconds between two looks at a print that goes on; a line of it says nothing to anybody by itself."""

MAX_SUBSCRIBERS = 128
MAX_STRANGERS = 32
MAX_STRANGERS_EACH = 8
"""Clients in all; of them such as have shown no session, from everywhere and from one address."""

HISTORY = 300  # temperature reports that a client is given at first: five minutes of them


class Hub:
    """Knows the subscribers, and gives each its share of what happens."""

    def __init__(self, service: "Front", view: JobView, history: TemperatureHistory) -> None:
        self._service = service
        self._view = view
        self._history = history
        self._subscribers: dict[Subscriber, str] = {}  # → the network that it comes from
        self._ticking: asyncio.TimerHandle | None = None
        self._lines = ToldLines(0.0)
        self._looks = Looks(self._look)
        self._moment: tuple[str, Selection | None, Moment] | None = None
        self._announcer = Announcer(service)
        self._motion = Motion(service)
        self.pages = Pages(service)
        service.connection.subscribe(self._on_printer)
        service.events.subscribe(self._on_notice)
        service.core.on_change(self._on_state)

    @property
    def count(self) -> int:
        """How many listen."""
        return len(self._subscribers)

    def has_room_for(self, client: str) -> bool:
        """Tell whether one more may come from this address, who is a stranger at first.

        If need be the stranger goes who has listened longest: else a few silent ones would keep out who has a key.
        """
        network = network_of(client)
        strangers = [each for each in self._subscribers if each.is_stranger]
        of_client = [each for each in strangers if self._subscribers[each] == network]
        if len(of_client) >= MAX_STRANGERS_EACH:
            of_client[0].drop()
        elif len(strangers) >= MAX_STRANGERS or (len(self._subscribers) >= MAX_SUBSCRIBERS and strangers):
            strangers[0].drop()
        return len(self._subscribers) < MAX_SUBSCRIBERS

    def join(self, send: Send, close: Callable[[], None], client: str = "local") -> Subscriber:
        """Take a new subscriber, and greet it.

        Args:
            send: writes messages to it, and returns when they are on their way.
            close: ends its connection.
            client: its address.
        """
        if not self._subscribers:  # nobody has looked meanwhile
            self._motion.begin()
            self._lines = ToldLines(asyncio.get_running_loop().time())
            self._looks.outdate()
        subscriber = Subscriber(self, self._service.access, send, close)
        self._subscribers[subscriber] = network_of(client)
        subscriber.offer(json.dumps({"connected": self._greeting()}))
        self._keep_ticking()
        return subscriber

    def on_known(self, subscriber: Subscriber) -> None:
        """Take note that one has shown a session: its coming was no stranger's."""
        if (network := self._subscribers.get(subscriber)) is not None:
            self._service.access.forgive(network, REQUEST)

    def look_at_keys(self) -> None:
        """Have everybody dropped at once whose key is gone."""
        for each in [*self._subscribers]:
            each.wake()

    def leave(self, subscriber: Subscriber) -> None:
        """Forget a subscriber."""
        self._subscribers.pop(subscriber, None)

    # -- what happens --------------------------------------------------------------------------------------

    def _on_printer(self, event: Event) -> None:
        if isinstance(event, ActionRequested) or not self._subscribers:
            return
        if isinstance(event, TemperaturesRead):
            report = json.dumps({"time": int(self._service.wall()), **readings(event.heaters, is_heater)})
            for each in [*self._subscribers]:
                each.add_temperatures(report)
        self._changed()

    def _on_state(self) -> None:
        """Have everybody see the state, though the next one may come at once."""
        if self._subscribers:
            moment = self._newest()
            for each in self._subscribers:
                each.passed(moment)

    def _newest(self) -> Moment:
        """Return the state with its job; made anew only when one of them is another."""
        status, jobs = self._status(), self._service.jobs
        if self._moment is None or self._moment[:2] != (status["text"], jobs.selected):
            moment = Moment(status, at_once(jobs.selected, jobs.progress))
            self._moment = (status["text"], jobs.selected, moment)
        return self._moment[2]

    def _status(self) -> dict[str, Any]:
        seen = seen_of(self._service)
        return {"text": seen.text, "flags": seen.flags, "error": seen.error or ""}

    def _on_notice(self, notice: Notice) -> None:
        if self._subscribers:
            told = _as_message(notice)
            for each in [*self._subscribers]:
                each.note(notice, told)
        self._changed()

    def _changed(self) -> None:
        self._looks.outdate()
        for each in [*self._subscribers]:
            each.changed()
        self._keep_ticking()

    def _keep_ticking(self) -> None:
        going_on = self._service.jobs.active or self._service.connection.panel_print is not None
        if self._ticking is None and self._subscribers and going_on:
            self._ticking = asyncio.get_running_loop().call_later(TICK, self._tick)

    def _tick(self) -> None:
        self._ticking = None
        self._motion.look()
        self._changed()

    def close(self) -> None:
        """Stop ticking, and end every connection."""
        if self._ticking is not None:
            self._ticking.cancel()
        self.pages.close()
        self._looks.close()
        for each in [*self._subscribers]:
            each.end()

    def timelapse(self) -> str:
        """Return what a client is told first of films."""
        state = self._service.companions.state("timelapse") or {}
        return json.dumps({"timelapse": state.get("pushed")})

    # -- what is told --------------------------------------------------------------------------------------

    def _greeting(self) -> dict[str, Any]:
        return {
            "version": OCTOPRINT,
            "display_version": f"{OCTOPRINT} (nozzled {__version__})",
            "branch": None,
            "python_version": None,
            "plugin_hash": self._service.uuid,
            "config_hash": self._service.uuid,
            "debug": False,
            "safe_mode": None,
            "online": True,
            "permissions": [],
        }

    async def current(self) -> dict[str, Any]:
        """Return the state as it is now, without what each subscriber gets of its own."""
        job = await self._view.answer()
        busy = self._service.jobs.active and self._service.jobs.selected
        return {
            "state": self._status(),
            "job": job["job"],
            "progress": job["progress"],
            "currentZ": self._motion.height,
            "offsets": dict(self._service.jobs.offsets),
            "resends": self._resends(),
            "markings": [],
            "busyFiles": [{"origin": "local", "path": busy.path}] if busy else [],
            "serverTime": self._service.wall(),
        }

    def _resends(self) -> dict[str, int]:
        counters = self._service.connection.counters
        count, sent = counters["resends"], counters["lines_sent"]
        return {"count": count, "transmitted": sent, "ratio": round(100 * count / sent) if sent else 0}

    @property
    def said(self) -> int:
        """How many lines of the conversation with the printer have been told."""
        return self._lines.count

    async def look(self) -> Look:
        """Return what there is to tell now, the same for all who ask now."""
        return await self._looks.newest()

    async def _look(self) -> Look:
        if any(each.wants_lines for each in self._subscribers):
            await self._listen()
        history = self._history
        return Look(await self.current(), self._lines, lambda: json.dumps(history.last(HISTORY, is_heater)))

    async def _listen(self) -> None:
        """Take down what went over the line since the last look, in OctoPrint's manner."""
        lines = self._lines
        with suppress(CoreAway):
            talk = await self._service.connection.conversation(lines.until)
            lines.add([f"{_ARROWS.get(line[:1], line[:1])}{line[1:]}" for line in talk.lines], talk.until)


_ARROWS = {">": "Send:", "<": "Recv:"}


def _as_message(notice: Notice) -> str:
    payload = dict(notice.payload)
    if notice.kind == "plugin":
        return json.dumps({"plugin": {"plugin": notice.name, "data": payload}})
    if notice.kind == "message":
        return json.dumps({notice.name: payload})
    return json.dumps({"event": {"type": notice.name, "payload": payload}})
