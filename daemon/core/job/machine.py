"""JobMachine: the table of `states` run by the transitions library, of which this is the only importer.

The machine is synchronous and not queued; it has no conditions, and one callback, which records the step. In
transitions 0.9.3 an unqueued AsyncMachine cancels callbacks that run and swallows CancelledError, and a queued machine
of either kind returns True for a trigger that did nothing. So the machine does not run the effects:
`daemon.core.job.runner` does.
"""

from collections.abc import Callable
from typing import cast

from transitions import EventData, Machine, MachineError

from daemon.bridge.words import JobState
from daemon.core.job.states import TRANSITIONS, Trigger
from daemon.errors import JobConflict

Recorder = Callable[[Trigger, JobState, JobState], None]


class JobMachine:
    """The state of one job. `fire` takes the name of a trigger in the table."""

    state: JobState  # set by the library

    def __init__(self, record: Recorder, initial: JobState = JobState.STARTING) -> None:
        """Start in `initial`; `record(trigger, old, new)` is called after each step."""
        self._record = record
        self._machine = Machine(
            model=self,
            states=JobState,
            initial=initial,
            auto_transitions=False,
            send_event=True,
            after_state_change=self._on_step,
        )
        for trigger, sources, target in TRANSITIONS:
            self._machine.add_transition(trigger, list(sources), target)

    def fire(self, trigger: Trigger) -> None:
        """Take the step that the table has for this trigger in this state.

        Raises:
            JobConflict: the table has no such step; the state stays the same.
        """
        try:
            self._machine.events[trigger].trigger(self)
        except MachineError:
            raise JobConflict(f"a job that is {self.state.value} cannot take {trigger!r}") from None

    def can(self, trigger: Trigger) -> bool:
        """Tell whether the table has a step for this trigger in this state."""
        return any(name == trigger and self.state in sources for name, sources, _ in TRANSITIONS)

    def _on_step(self, event: EventData) -> None:
        step = event.transition
        if event.event is None or step is None or step.dest is None:
            raise AssertionError("the library called back without a step of the table")
        self._record(cast("Trigger", event.event.name), JobState[step.source], JobState[step.dest])
