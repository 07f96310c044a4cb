import pytest

from daemon.bridge.status import FLAGS, describe
from daemon.bridge.words import JobState
from hal.printer import ConnectionState

C, J = ConnectionState, JobState
ENDED = [None, J.COMPLETED, J.CANCELLED, J.FAILED, J.INTERRUPTED]

# (jobs, connections, text, text for /api/connection, flags): the table of the design, row by row
ROWS = [
    (ENDED, [C.OFFLINE], "Offline", "Closed", "closedOrError"),
    (ENDED, [C.OPENING], "Opening serial connection", "Opening serial connection", ""),
    (ENDED, [C.HANDSHAKING], "Connecting", "Connecting", ""),
    (ENDED, [C.READY], "Operational", "Operational", "operational ready"),
    (ENDED, [C.FAULT], "Offline after error", "Offline after error", "error closedOrError"),
    ([J.STARTING], [C.READY], "Starting", "Starting", "operational printing"),
    ([J.PRINTING], [C.READY], "Printing", "Printing", "operational printing"),
    ([J.PAUSING], [C.READY], "Pausing", "Pausing", "operational pausing printing"),
    ([J.PAUSED], [C.READY], "Paused", "Paused", "operational paused"),
    ([J.RESUMING], [C.READY], "Resuming", "Resuming", "operational resuming printing"),
    ([J.FINISHING], [C.READY], "Finishing", "Finishing", "operational finishing printing"),
    ([J.CANCELLING], [C.READY], "Cancelling", "Cancelling", "operational cancelling printing"),
    ([J.REATTACHING], list(C), "Resuming", "Resuming", "operational resuming printing"),
]
CELLS = [(job, connection, *rest) for jobs, connections, *rest in ROWS for job in jobs for connection in connections]


@pytest.mark.parametrize(("job", "connection", "text", "connection_text", "flags"), CELLS)
def test_each_cell_of_the_table_holds(job, connection, text, connection_text, flags):
    status = describe(connection, job, "reason")
    assert (status.text, status.connection_text) == (text, connection_text)
    assert [name for name in FLAGS if status.flags[name]] == [name for name in FLAGS if name in flags.split()]
    assert len(status.flags) == 11
    failed = connection is C.FAULT or (connection is C.READY and job in (J.FAILED, J.INTERRUPTED))
    assert status.error == ("reason" if failed and job is not J.REATTACHING else None)


@pytest.mark.parametrize("job", ENDED)
@pytest.mark.parametrize("connection", list(C))
def test_a_print_from_the_printers_card_is_shown_while_connected(job, connection):
    status = describe(connection, job, "reason", panel_print=True)
    if connection is not C.READY:
        assert status == describe(connection, job, "reason")
        return
    assert (status.text, status.connection_text, status.error) == ("Printing from SD", "Printing from SD", None)
    assert [name for name in FLAGS if status.flags[name]] == ["operational", "printing"]


@pytest.mark.parametrize("job", [state for state in J if not state.ended])
def test_a_job_of_ours_comes_before_the_printers_own(job):
    assert describe(C.READY, job, None, panel_print=True) == describe(C.READY, job, None)


@pytest.mark.parametrize("job", [state for state in J if not state.ended and state is not J.REATTACHING])
@pytest.mark.parametrize("connection", [state for state in C if state is not C.READY])
def test_a_job_that_just_lost_its_connection_shows_the_connection(job, connection):
    assert describe(connection, job, "gone").text == describe(connection, None, "gone").text


def test_every_pair_of_states_has_a_text_and_all_flags():
    for connection in C:
        for job in (None, *J):
            status = describe(connection, job, None)
            assert status.text
            assert tuple(status.flags) == FLAGS
            assert status.error is None
