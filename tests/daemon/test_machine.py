import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from daemon.bridge.words import ACTIVE, ENDED, JobState
from daemon.core.job.machine import JobMachine
from daemon.core.job.states import TRANSITIONS
from daemon.errors import JobConflict

TRIGGERS = [trigger for trigger, _, _ in TRANSITIONS]
TABLE = {(source, trigger): target for trigger, sources, target in TRANSITIONS for source in sources}


class Steps(RuleBasedStateMachine):
    """Any trigger at any time: a step of the table, or a refusal that changes nothing."""

    def __init__(self):
        super().__init__()
        self.recorded = []
        self.machine = JobMachine(lambda *step: self.recorded.append(step))
        self.expected = JobState.STARTING

    @rule(trigger=st.sampled_from(TRIGGERS))
    def fire(self, trigger):
        old, steps = self.machine.state, len(self.recorded)
        target = TABLE.get((old, trigger))
        assert self.machine.can(trigger) == (target is not None)
        if target is None:
            with pytest.raises(JobConflict):
                self.machine.fire(trigger)
            assert len(self.recorded) == steps
        else:
            self.machine.fire(trigger)
            assert self.recorded[steps:] == [(trigger, old, target)]
            self.expected = target

    @invariant()
    def state_is_as_expected(self):
        assert self.machine.state is self.expected


TestSteps = Steps.TestCase


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("trigger", TRIGGERS)
def test_every_cell_of_the_table_holds(state, trigger):
    steps = []
    machine = JobMachine(lambda *step: steps.append(step), state)
    target = TABLE.get((state, trigger))
    if target is None:
        with pytest.raises(JobConflict, match=trigger):
            machine.fire(trigger)
        assert machine.state is state
    else:
        machine.fire(trigger)
        assert machine.state is target
    assert steps == ([(trigger, state, target)] if target else [])


@pytest.mark.parametrize("trigger", ["", "to_COMPLETED", "nothing"])
def test_there_is_no_other_trigger(trigger):
    assert not JobMachine(lambda *_: None).can(trigger)
    with pytest.raises(KeyError):
        JobMachine(lambda *_: None).fire(trigger)


def test_every_state_can_be_reached():
    reached, new = set(), {JobState.STARTING}
    while new:
        reached |= new
        new = {target for (source, _), target in TABLE.items() if source in reached} - reached
    assert reached == set(JobState)


def test_ended_states_are_final_and_the_others_can_always_end():
    assert not [source for source, _ in TABLE if source in ENDED]
    for state in ACTIVE:
        assert TABLE[state, "fail"] is JobState.FAILED
        assert TABLE[state, "interrupt"] is JobState.INTERRUPTED
    assert {state for state in JobState if state.ended} == ENDED


def test_no_trigger_is_listed_twice_for_a_state():
    steps = [(source, trigger) for trigger, sources, _ in TRANSITIONS for source in sources]
    assert len(steps) == len(set(steps))
