"""Hub: the subscribers of the push messages, and the messages that they get."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from daemon import OCTOPRINT_VERSION, __version__
from daemon.errors import CoreAway
from daemon.front.access.anonymous import REQUEST_COST
from daemon.front.access.attempts import network_of
from daemon.front.events import FrontEvent
from daemon.front.push.announcer import Announcer
from daemon.front.push.motion import Motion
from daemon.front.push.page import Pages
from daemon.front.push.snapshots import PushedLines, PushSnapshot, SnapshotCache
from daemon.front.push.statuses import Moment
from daemon.front.push.subscriber import Send, Subscriber
from daemon.front.views.job import JobView, brief
from daemon.front.views.status import status_of
from daemon.front.views.temperatures import TemperatureHistory, is_heater, readings
from hal.printer import ActionRequested, Event, TemperaturesRead

if TYPE_CHECKING:
    from daemon.bridge.words import Selection
    from daemon.front.front import Front

UPDATE_INTERVAL = 1.0  # s between two updates about a running print: its lines cause no events

MAX_SUBSCRIBERS = 128
MAX_ANONYMOUS = 32  # subscribers that have shown no session
MAX_ANONYMOUS_EACH = 8  # of these from one address

MAX_REPORTS = 300  # past temperature reports that a new subscriber gets, one per second


class Hub:
    """Distributes events and states to the subscribers."""

    def __init__(self, service: "Front", view: JobView, history: TemperatureHistory) -> None:
        self._service = service
        self._view = view
        self._history = history
        self._subscribers: dict[Subscriber, str] = {}  # each with its client's network
        self._tick_timer: asyncio.TimerHandle | None = None
        self._lines = PushedLines(0.0)
        self._snapshots = SnapshotCache(self._make_snapshot)
        self._moment: Moment | None = None
        self._moment_key: tuple[str, Selection | None] = ("", None)  # the status and the file of `_moment`
        self._announcer = Announcer(service)
        self._motion = Motion(service)
        self.pages = Pages(service)
        service.connection.subscribe(self._on_printer)
        service.events.subscribe(self._on_front_event)
        service.core.on_change(self._on_state)

    @property
    def count(self) -> int:
        """The number of subscribers."""
        return len(self._subscribers)

    def make_room_for(self, client: str) -> bool:
        """Make room for a subscriber from this address; return whether there is room.

        This may drop the oldest anonymous subscriber, so that a few silent ones cannot keep out clients with keys.
        """
        network = network_of(client)
        anonymous = [each for each in self._subscribers if each.is_anonymous]
        of_client = [each for each in anonymous if self._subscribers[each] == network]
        if len(of_client) >= MAX_ANONYMOUS_EACH:
            of_client[0].drop()
        elif len(anonymous) >= MAX_ANONYMOUS or (len(self._subscribers) >= MAX_SUBSCRIBERS and anonymous):
            anonymous[0].drop()
        return len(self._subscribers) < MAX_SUBSCRIBERS

    def join(self, send: Send, close: Callable[[], None], client: str = "local") -> Subscriber:
        """Add a subscriber, and send it the greeting.

        Args:
            send: writes messages to the client, and returns when they are sent.
            close: closes its connection.
            client: its address.
        """
        if not self._subscribers:  # without subscribers, nothing was recorded
            self._motion.begin()
            self._lines = PushedLines(asyncio.get_running_loop().time())
            self._snapshots.invalidate()
        subscriber = Subscriber(self, self._service.access, send, close)
        self._subscribers[subscriber] = network_of(client)
        subscriber.offer(json.dumps({"connected": self._connected()}))
        self._ensure_ticking()
        return subscriber

    def on_authenticated(self, subscriber: Subscriber) -> None:
        """Refund the cost of a subscriber's connection: it has shown a session."""
        if (network := self._subscribers.get(subscriber)) is not None:
            self._service.access.refund(network, REQUEST_COST)

    def check_keys(self) -> None:
        """Have all subscribers check at once whether their keys are still valid."""
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
        self._note_change()

    def _on_state(self) -> None:
        """Pass the state to all subscribers, even if the next state follows at once."""
        if self._subscribers:
            moment = self._current_moment()
            for each in self._subscribers:
                each.add_moment(moment)

    def _current_moment(self) -> Moment:
        """Return the state with its job: the same object until the status or the selected file changes."""
        status, jobs = self._status(), self._service.jobs
        key = (status["text"], jobs.selected)
        if self._moment is None or key != self._moment_key:
            self._moment, self._moment_key = Moment(status, brief(jobs.selected, jobs.progress)), key
        return self._moment

    def _status(self) -> dict[str, Any]:
        status = status_of(self._service)
        return {"text": status.text, "flags": status.flags, "error": status.error or ""}

    def _on_front_event(self, event: FrontEvent) -> None:
        if self._subscribers:
            message = _message_of(event)
            for each in [*self._subscribers]:
                each.publish(event, message)
        self._note_change()

    def _note_change(self) -> None:
        self._snapshots.invalidate()
        for each in [*self._subscribers]:
            each.note_change()
        self._ensure_ticking()

    def _ensure_ticking(self) -> None:
        is_printing = self._service.jobs.active or self._service.connection.panel_print is not None
        if self._tick_timer is None and self._subscribers and is_printing:
            self._tick_timer = asyncio.get_running_loop().call_later(UPDATE_INTERVAL, self._tick)

    def _tick(self) -> None:
        self._tick_timer = None
        self._motion.update()
        self._note_change()

    def close(self) -> None:
        """Stop, and end every subscriber."""
        if self._tick_timer is not None:
            self._tick_timer.cancel()
        self.pages.close()
        self._snapshots.close()
        for each in [*self._subscribers]:
            each.end()

    def timelapse(self) -> str:
        """Return the message about timelapse for a new subscriber."""
        state = self._service.companions.state("timelapse") or {}
        return json.dumps({"timelapse": state.get("pushed")})

    # -- messages ------------------------------------------------------------------------------------------

    def _connected(self) -> dict[str, Any]:
        return {
            "version": OCTOPRINT_VERSION,
            "display_version": f"{OCTOPRINT_VERSION} (nozzled {__version__})",
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
        """Return the parts of the current state that are the same for all subscribers."""
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
    def line_count(self) -> int:
        """The number of lines of the conversation with the printer so far."""
        return self._lines.count

    async def snapshot(self) -> PushSnapshot:
        """Return a snapshot of the current state; simultaneous calls share one."""
        return await self._snapshots.get()

    async def _make_snapshot(self) -> PushSnapshot:
        if any(each.wants_lines for each in self._subscribers):
            await self._read_lines()
        history = self._history
        return PushSnapshot(await self.current(), self._lines, lambda: json.dumps(history.last(MAX_REPORTS, is_heater)))

    async def _read_lines(self) -> None:
        """Append the lines exchanged with the printer since the last call, in OctoPrint's format."""
        lines = self._lines
        with suppress(CoreAway):
            talk = await self._service.connection.conversation(lines.until)
            lines.add([f"{_ARROWS.get(line[:1], line[:1])}{line[1:]}" for line in talk.lines], talk.until)


_ARROWS = {">": "Send:", "<": "Recv:"}


def _message_of(event: FrontEvent) -> str:
    payload = dict(event.payload)
    if event.kind == "plugin":
        return json.dumps({"plugin": {"plugin": event.name, "data": payload}})
    if event.kind == "message":
        return json.dumps({event.name: payload})
    return json.dumps({"event": {"type": event.name, "payload": payload}})
