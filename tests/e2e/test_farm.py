"""A farm in real processes, of which any is killed: each copy is printed once, and no heater stays on."""

import pytest

from support.fleet import Fleet, verify

COPIES = (1, 2, 1, 1, 3, 1, 2, 1)


@pytest.fixture
def fleet(tmp_path):
    made = Fleet(tmp_path / "farm", 4)
    yield made
    made.close()


def test_whoever_is_killed_each_copy_is_printed_once_by_the_printers_own_word(fleet):
    fleet.start()
    for number, copies in enumerate(COPIES):
        fleet.submit(number, copies)
    kills = [(1, "agent"), (2, "front"), (4, "nats"), (5, "server"), (6, "service"), (7, "agent")]
    copies = fleet.run(240, kills)
    assert len(copies) == sum(COPIES)
    assert verify(fleet, copies) == []
    assert verify(fleet, [{**copies[0], "state": "failed", "reason": "a lie"}, *copies[1:]]), "a lie is found out"
    assert sum(copy["state"] == "done" for copy in copies) >= len(copies) - 1, [copy["reason"] for copy in copies]
