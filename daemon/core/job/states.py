"""The job's states and the table of its transitions: the only place where either is written down.

A job that has ended stays ended; the next print is another job. The connection has states of its own
(`hal.printer.ConnectionState`); what clients see is derived from both (`daemon.bridge.status`).
"""

from daemon.bridge.words import ACTIVE, JobState

_S = JobState
_RUNNING = (_S.STARTING, _S.PRINTING, _S.RESUMING)

# (trigger, from any of, to)
TRANSITIONS: tuple[tuple[str, tuple[JobState, ...], JobState], ...] = (
    ("started", (_S.STARTING,), _S.PRINTING),
    ("pause", _RUNNING, _S.PAUSING),
    ("paused", (_S.PAUSING,), _S.PAUSED),
    ("resume", (_S.PAUSED,), _S.RESUMING),
    ("resumed", (_S.RESUMING,), _S.PRINTING),
    ("file_ended", (_S.PRINTING,), _S.FINISHING),
    ("finished", (_S.FINISHING,), _S.COMPLETED),
    ("cancel", (*_RUNNING, _S.PAUSING, _S.PAUSED, _S.FINISHING), _S.CANCELLING),
    ("cancelled", (_S.CANCELLING,), _S.CANCELLED),
    ("restart", (_S.PAUSED,), _S.CANCELLED),  # a new job follows at once: no after-cancel script between
    ("fail", ACTIVE, _S.FAILED),
    ("interrupt", ACTIVE, _S.INTERRUPTED),
    # the line or the host was gone; once it is back the job goes on where it was
    ("lose_line", (*_RUNNING, _S.PAUSING, _S.PAUSED, _S.FINISHING, _S.CANCELLING), _S.REATTACHING),
    ("back_to_starting", (_S.REATTACHING,), _S.STARTING),
    ("back_to_printing", (_S.REATTACHING,), _S.PRINTING),
    ("back_to_pausing", (_S.REATTACHING,), _S.PAUSING),
    ("back_to_paused", (_S.REATTACHING,), _S.PAUSED),
    ("back_to_resuming", (_S.REATTACHING,), _S.RESUMING),
    ("back_to_finishing", (_S.REATTACHING,), _S.FINISHING),
    ("back_to_cancelling", (_S.REATTACHING,), _S.CANCELLING),
)
