"""The table of a job's transitions; they are defined nowhere else.

A job that has ended stays ended; the next print is another job. The connection has states of its own
(`hal.printer.ConnectionState`); what clients see is derived from both (`daemon.bridge.status`).
"""

from typing import Final, Literal

from daemon.bridge.words import ACTIVE, JobState

_S = JobState
_RUNNING = (_S.STARTING, _S.PRINTING, _S.RESUMING)

Trigger = Literal[
    "started", "pause", "paused", "resume", "resumed", "file_ended", "finished", "cancel", "cancelled", "restart",
    "fail", "interrupt", "lose_connection",
    "back_to_starting", "back_to_printing", "back_to_pausing", "back_to_paused", "back_to_resuming",
    "back_to_finishing", "back_to_cancelling",
]  # fmt: skip
"""What makes a job change its state."""

# (trigger, from any of, to)
TRANSITIONS: tuple[tuple[Trigger, tuple[JobState, ...], JobState], ...] = (
    ("started", (_S.STARTING,), _S.PRINTING),
    ("pause", _RUNNING, _S.PAUSING),
    ("paused", (_S.PAUSING,), _S.PAUSED),
    ("resume", (_S.PAUSED,), _S.RESUMING),
    ("resumed", (_S.RESUMING,), _S.PRINTING),
    ("file_ended", (_S.PRINTING,), _S.FINISHING),
    ("finished", (_S.FINISHING,), _S.COMPLETED),
    ("cancel", (*_RUNNING, _S.PAUSING, _S.PAUSED, _S.FINISHING), _S.CANCELLING),
    ("cancelled", (_S.CANCELLING,), _S.CANCELLED),
    ("restart", (_S.PAUSED,), _S.CANCELLED),  # a new job follows at once; `after_cancel` is not run
    ("fail", ACTIVE, _S.FAILED),
    ("interrupt", ACTIVE, _S.INTERRUPTED),
    # the connection or the host was lost; once the printer is reattached, the job returns to its previous state
    ("lose_connection", (*_RUNNING, _S.PAUSING, _S.PAUSED, _S.FINISHING, _S.CANCELLING), _S.REATTACHING),
    ("back_to_starting", (_S.REATTACHING,), _S.STARTING),
    ("back_to_printing", (_S.REATTACHING,), _S.PRINTING),
    ("back_to_pausing", (_S.REATTACHING,), _S.PAUSING),
    ("back_to_paused", (_S.REATTACHING,), _S.PAUSED),
    ("back_to_resuming", (_S.REATTACHING,), _S.RESUMING),
    ("back_to_finishing", (_S.REATTACHING,), _S.FINISHING),
    ("back_to_cancelling", (_S.REATTACHING,), _S.CANCELLING),
)

BACK_TO: Final[dict[JobState, Trigger]] = {
    _S.STARTING: "back_to_starting",
    _S.PRINTING: "back_to_printing",
    _S.PAUSING: "back_to_pausing",
    _S.PAUSED: "back_to_paused",
    _S.RESUMING: "back_to_resuming",
    _S.FINISHING: "back_to_finishing",
    _S.CANCELLING: "back_to_cancelling",
}
"""The triggers by which a job that was reattached returns to its previous state."""
