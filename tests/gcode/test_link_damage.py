"""Damage over several bytes: how often a checksum of one byte lets it pass. `bench/README.md` has the figures."""

import random
from collections.abc import Callable
from functools import partial

import pytest

from gcode.dialect import MARLIN
from gcode.framing import frame
from gcode.link import HostLink
from support.marlin import MarlinModel, valid
from support.poor_connection import BYTE_TIME, Damage, PoorConnection, alter, moves, shorten

LOST_NEXT = "two neighbours lost"


def neighbours_lost(line: bytes, chances: random.Random) -> bytes:
    at = chances.randrange(len(line) - 1)
    return line[:at] + line[at + 2 :]


KINDS: dict[str, tuple[Damage, float, float]] = {
    # what happens to a line, and the bounds of the share that is accepted as another command
    "one altered": (partial(alter, count=1), 0.0, 0.0),
    "two altered": (partial(alter, count=2), 0.001, 0.008),
    "three altered": (partial(alter, count=3), 0.001, 0.008),
    "four altered": (partial(alter, count=4), 0.001, 0.008),
    "one lost": (partial(shorten, count=1), 0.0, 0.0),
    "two lost": (partial(shorten, count=2), 0.01, 0.06),
    LOST_NEXT: (neighbours_lost, 0.001, 0.06),
}


def accepted_as_another(damage: Callable[[bytes, random.Random], bytes], lines: int) -> int:
    """Damage each line once; return how many the firmware took for another command, and assert why."""
    chances, passed = random.Random(1), 0
    for number, command in enumerate(moves(lines, chances), 1000):
        model = MarlinModel()
        model.last = number - 1
        model.receive(
            damage(frame(number, command), chances) + b"\n"
        )  # if the line feed was lost, that of the next line ends it
        for numbered, taken, line in zip(model.numbers, model.accepted, model.lines, strict=True):
            if numbered == number and taken != command:
                passed += 1
                assert valid(line)
    return passed


@pytest.mark.parametrize("kind", KINDS)
def test_undetected_damage_has_a_valid_checksum(kind: str):
    damage, least, most = KINDS[kind]
    share = accepted_as_another(damage, 4000) / 4000
    assert least <= share <= most


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_the_rate_of_undetected_damage_is_bounded(kind: str, record_property):
    damage, least, most = KINDS[kind]
    share = accepted_as_another(damage, 100_000) / 100_000
    record_property("measured", f"undetected damage, {kind}: {share:.3%}")
    assert least <= share <= most


@pytest.mark.parametrize("kind", KINDS)
def test_detected_damage_is_repaired(kind: str):
    """No number is missing or repeated, and each line is as it was sent, except where the checksum still fits."""
    wrong = bad = 0
    for seed in range(10):
        chances = random.Random(seed)
        file = moves(200, chances)
        connection = PoorConnection(HostLink(MARLIN, BYTE_TIME), MarlinModel(), {"flip": 0.05}, chances, KINDS[kind][0])
        connection.print(file)
        assert connection.link.error is None
        job = [
            connection.sent[number] for number, _ in connection.accepted if connection.sent[number].startswith(b"G1 ")
        ]
        assert job == file
        for each in connection.wrong:
            assert valid(each)
        wrong += len(connection.wrong)
        bad += connection.damaged
    assert bad > 50
    assert wrong <= max(0.08 * bad, 3) if KINDS[kind][2] else wrong == 0
