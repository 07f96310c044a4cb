"""Announcer: publishes what printer and job do, as OctoPrint's events."""

from typing import TYPE_CHECKING, Any

from daemon.bridge.words import JobState
from daemon.front.analysis.findings import Findings
from daemon.front.analysis.store import FileKey
from daemon.front.analysis.watch import FileRefusal
from daemon.front.views.analysis import of_findings
from daemon.front.views.panel import NOTIFICATION, PROMPT
from daemon.front.views.selection import of_selection
from daemon.front.views.status import status_of
from hal.printer import ActionRequested, ConnectionState, Event, PositionRead, StateChanged, StopEnded

if TYPE_CHECKING:
    from daemon.front.front import Front

_STATE_IDS = {
    "Offline": "OFFLINE",
    "Opening serial connection": "OPEN_SERIAL",
    "Connecting": "CONNECTING",
    "Operational": "OPERATIONAL",
    "Starting": "STARTING",
    "Printing": "PRINTING",
    "Printing from SD": "PRINTING",
    "Pausing": "PAUSING",
    "Paused": "PAUSED",
    "Resuming": "RESUMING",
    "Finishing": "FINISHING",
    "Cancelling": "CANCELLING",
    "Offline after error": "CLOSED_WITH_ERROR",
}

_JOB_EVENTS: dict[JobState, tuple[str, ...]] = {
    JobState.STARTING: ("PrintStarted",),
    JobState.PAUSED: ("PrintPaused",),
    JobState.CANCELLING: ("PrintCancelling",),
    JobState.CANCELLED: ("PrintCancelled", "PrintFailed"),  # OctoPrint also counts a cancelled print as failed
    JobState.COMPLETED: ("PrintDone",),
    JobState.FAILED: ("PrintFailed",),
    JobState.INTERRUPTED: ("PrintFailed",),
}


class Announcer:
    """Publishes events as they happen."""

    def __init__(self, service: "Front") -> None:
        self._service = service
        self._text = status_of(service).text
        self._previous_state: JobState | None = None
        self._was_selected = service.jobs.selected is not None
        service.connection.subscribe(self._on_printer)
        service.jobs.subscribe(self._on_job)
        service.analyses.subscribe(self._on_analysis)
        service.watch.on_refused(self._on_refused)
        service.core.on_change(self._on_change)
        service.core.on_trouble(lambda trouble: self._publish("Error", error=trouble, reason="safety"))

    def _publish(self, event: str, **payload: Any) -> None:
        self._service.events.publish(event, payload)

    def _on_printer(self, event: Event) -> None:
        self._on_selection()  # a deselection comes before the event of the printer
        if isinstance(event, StateChanged):
            self._on_connection(event)
        elif isinstance(event, ActionRequested):
            self._on_action(event)
        elif isinstance(event, PositionRead):
            self._publish("PositionUpdate", **_position(event.axes), reason=None)
        elif isinstance(event, StopEnded):
            self._publish("EmergencyStop", confirmed=event.confirmed)
        self._on_change()

    def _on_change(self) -> None:
        """Publish a change of the state's text, and that the file was deselected."""
        self._on_selection()
        text = status_of(self._service).text
        if text != self._text:
            self._text = text
            self._publish("PrinterStateChanged", state_id=_STATE_IDS.get(text, "OFFLINE"), state_string=text)

    def _on_selection(self) -> None:
        before, self._was_selected = self._was_selected, self._service.jobs.selected is not None
        if before and not self._was_selected:
            self._publish("FileDeselected")

    def _on_connection(self, event: StateChanged) -> None:
        connection = self._service.connection
        if event.new is ConnectionState.OPENING:
            self._publish("Connecting")
        elif event.new is ConnectionState.READY and connection.summary.connected:
            summary = connection.summary
            self._publish("Connected", port=summary.port, baudrate=summary.baudrate)
            self._publish("FirmwareData", name=summary.firmware, data=dict(summary.fields))
        elif event.new is ConnectionState.FAULT:
            self._publish("Error", error=str(event.error), reason="connection")
            self._publish("Disconnected")
        elif event.new is ConnectionState.OFFLINE:
            self._publish("Disconnected")

    def _on_action(self, event: ActionRequested) -> None:
        """Pass on the panel's messages and prompts, whose texts come from the printer."""
        prompt, message = self._service.connection.prompt, self._service.connection.message
        if event.name == "notification":
            self._service.events.publish_plugin(NOTIFICATION, {"message": message or ""})
        elif event.name == "prompt_show" and prompt is not None:
            shown = {"action": "show", "text": prompt.text, "choices": list(prompt.choices)}
            self._service.events.publish_plugin(PROMPT, shown)
        elif event.name == "prompt_end":
            self._service.events.publish_plugin(PROMPT, {"action": "close"})

    def _on_job(self, state: JobState) -> None:
        before, self._previous_state = self._previous_state, state
        if before is JobState.RESUMING and state is JobState.PRINTING:
            self._publish("PrintResumed", **self._job())
        if state is JobState.CANCELLED and self._service.jobs.active:
            return  # a restart: the new print has already begun, and OctoPrint publishes only the new print's events
        for event in _JOB_EVENTS.get(state, ()):
            self._publish(event, **self._job(), **self._end(state), **self._paused_at(state))
        self._on_change()

    def _on_refused(self, refusal: FileRefusal) -> None:
        self._publish("PrintRefused", name=refusal.name, path=refusal.path, origin="local", reasons=refusal.reasons)

    def _on_analysis(self, key: FileKey, findings: Findings) -> None:
        name = key.path.rpartition("/")[2]
        result = of_findings(findings, key.path)
        self._publish("MetadataAnalysisFinished", name=name, path=key.path, origin="local", result=result)

    def _job(self) -> dict[str, Any]:
        selected, summary = self._service.jobs.selected, self._service.jobs.summary
        return {**(of_selection(selected) if selected is not None else {}), "job": summary.id, "key": summary.key}

    def _paused_at(self, state: JobState) -> dict[str, Any]:
        position = self._service.jobs.paused_position
        return {"position": _position(position)} if state is JobState.PAUSED and position is not None else {}

    def _end(self, state: JobState) -> dict[str, Any]:
        if not state.ended:
            return {}
        end: dict[str, Any] = {"time": self._service.jobs.progress.print_time}
        if state is not JobState.COMPLETED:
            end["reason"] = "cancelled" if state is JobState.CANCELLED else "error"
        if state in (JobState.FAILED, JobState.INTERRUPTED):
            end["error"] = self._service.jobs.error
        return end


def _position(axes: dict[str, float]) -> dict[str, float]:
    return {axis.lower(): value for axis, value in axes.items()}
