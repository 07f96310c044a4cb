"""The plug of the computer is pulled in a print, again and again; the printer keeps its power."""

import asyncio
import json
import random
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest

from daemon.bridge.words import JobState
from daemon.config import PauseConfig
from daemon.errors import Unsafe
from gcode.errors import QueueFull
from hal.errors import NotConnected
from hal.simulated.config import FirmwareConfig
from hal.simulated.personalities import FIRMWARES
from support.mortal import Disk, Life, PlaceDisk, World

HEAD = ["M140 S50", "M109 S200", "G28", "G1 Z0.2 F600"]
PART = [
    line
    for n in range(240)
    for line in (
        f"G1 X{20 + n % 7 * 11} Y{20 + n % 60} E{n / 10:g} F9000",
        f"M106 P0 S{n % 256}",  # lines whose place no position tells
        f"G4 P{n % 90}",
        f"G1 Z{0.2 + n // 40 * 0.2:g}",
    )
]
FILE = [*HEAD, *PART]
AT_ONCE = ["M140 S50", "M104 S200", "G1 Z0.2 F600", *PART[:240]]
OF_FILE = frozenset({*PART})
SLOW = 900  # simulated seconds
BOOT = 35.0  # s from the plug to the service


def of_file(world) -> list[str]:
    return [each.command for each in world.oracle.commands if each.command in OF_FILE]


class Cuts:
    """One world in which the power of the host fails again and again."""

    def __init__(self, folder, seed: int, firmware: FirmwareConfig, **job) -> None:
        self.world = World(folder, firmware)
        self.chance = random.Random(seed)
        self.world.disk, self.world.place = Disk(folder / "state"), PlaceDisk(seed)
        self.job = {"after_reboot": "resume"} | job
        self.printed = 0  # lines of the file that earlier prints have made
        self.became: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.clients = True

    async def run(self, cuts: int) -> None:
        while sum(self.became.values()) < cuts:
            await self.print_once(cuts)

    async def print_once(self, cuts: int) -> None:
        """Print the file; the power fails until it is done, or the print ends."""
        chance, world, cut = self.chance, self.world, False
        self.printed = len(of_file(world))
        while True:
            last = sum(self.became.values()) >= cuts
            bytes_left = chance.choice([chance.randrange(2500), 10_000]) if cut else 10_000
            life = Life() if last else Life(bytes_left=bytes_left)
            world.config = replace(world.config, job=replace(world.config.job, **self.job))
            async with world.host(life) as host:
                if not cut:
                    world.reset_on_open = False
                    host.jobs.select(world.write(FILE))
                    host.jobs.start()
                await self.live(
                    host, life, SLOW if last else chance.choice([chance.uniform(0, 3), chance.uniform(0, 20)])
                )
                state, error, active = host.jobs.state, host.jobs.error, host.jobs.active
            if cut and not (life.over and state is JobState.REATTACHING):
                self.became["ended" if state is JobState.INTERRUPTED else "went on"] += 1
                self.reasons[error or ""] += state is JobState.INTERRUPTED
            self.check(state)
            if not active:
                return
            await self.power_fails()
            cut = True

    def check(self, state: JobState) -> None:
        lines = of_file(self.world)[self.printed :]
        assert lines == PART[: len(lines)], "never twice, never a gap"
        assert lines in (PART, PART[:240]) or state is not JobState.COMPLETED

    async def live(self, host, life, stays: float) -> None:
        """Watch a host for so many seconds from when it has its printer back; a client talks to it meanwhile."""
        loop, chat = asyncio.get_running_loop(), 0
        back, end = host.jobs.state is not JobState.REATTACHING, loop.time() + stays
        async with asyncio.timeout(2 * SLOW):
            while host.jobs.active and not life.over and (loop.time() < end or not back):
                if not back and host.jobs.state is not JobState.REATTACHING:
                    back, end = True, loop.time() + stays
                if host.jobs.state is JobState.PAUSED:
                    host.jobs.resume()
                if self.clients and self.chance.random() < 0.005 and host.connection.ready:
                    chat += 1
                    with suppress(QueueFull, NotConnected):
                        await host.connection.commands.send([f"M117 chat {chat}"])
                await asyncio.sleep(0.05)

    async def power_fails(self) -> None:
        world = self.world
        world.boot += "+"
        (world.folder / "logbook").unlink()
        world.disk.roll_back()
        await asyncio.sleep(BOOT)  # the printer makes what it has got
        world.firmware.advance(world.clock.now)


def told(cuts: Cuts) -> str:
    return f"{cuts.became['went on']} of {cuts.became.total()} went on; {dict(cuts.reasons)}"


async def test_a_print_goes_on_over_power_cuts_of_its_host(tmp_path):
    cuts = Cuts(tmp_path, 3, FirmwareConfig(baudrate=115200))
    await cuts.run(9)
    assert cuts.became["went on"] >= 0.8 * cuts.became.total(), told(cuts)
    # it has said what it can: orders to a decoder that it has not would be lines that it executes
    assert [each.command for each in cuts.world.oracle.commands if not each.command.isascii()] == []


@pytest.mark.nightly
@pytest.mark.parametrize(
    "name", ["marlin", "marlin21", "marlin21-meatpack", "marlin1.0", "prusa", "smoothie", "repetier"]
)
@pytest.mark.parametrize("seed", range(2))
async def test_a_print_goes_on_over_a_hundred_power_cuts_of_its_host(tmp_path, name, seed):
    cuts = Cuts(tmp_path, seed, replace(FIRMWARES[name], baudrate=115200))
    await cuts.run(120)
    assert cuts.became["went on"] >= 0.95 * cuts.became.total(), told(cuts)


# -- one power cut, and what comes of it ------------------------------------------------------------------------------


async def until(host, *states) -> None:
    async with asyncio.timeout(SLOW):
        while host.jobs.state not in states and not host.life.over:  # noqa: ASYNC110 - as clients poll
            await asyncio.sleep(0.05)


async def left_in_print(folder, seconds: float = 9, meanwhile=None, lines=AT_ONCE, **job) -> Cuts:
    """Return a world in whose print the power has failed."""
    cuts = Cuts(folder, 0, FirmwareConfig(baudrate=115200), **job)
    world = cuts.world
    world.place.takes = [0.002]
    world.config = replace(world.config, job=replace(world.config.job, **cuts.job), pause=PauseConfig(park="corner"))
    async with world.host() as host:
        world.reset_on_open = False
        host.jobs.select(world.write(AT_ONCE))
        host.jobs.start()
        await asyncio.sleep(seconds)
        assert host.jobs.state is JobState.PRINTING
        if meanwhile is not None:
            await meanwhile(host)
    await cuts.power_fails()
    return cuts


async def test_somebody_is_asked_and_the_print_goes_on_with_the_next_line(tmp_path):
    cuts = await left_in_print(tmp_path, after_reboot="ask")
    async with cuts.world.host() as host:
        await until(host, JobState.PAUSED)
        printed = len(of_file(cuts.world))
        assert 0 < printed < 240
        assert "rebooted" in host.jobs.pause_reason
        await asyncio.sleep(20 * 60)
        assert host.jobs.state is JobState.PAUSED
        assert cuts.world.firmware.board.hotend.target == 200, "it is kept warm"
        assert host.jobs.progress.print_time < 5 * 60, "the time of the boot is none of printing"
        host.jobs.resume()
        await until(host, JobState.COMPLETED)
    cuts.check(JobState.COMPLETED)


async def test_where_nobody_answers_the_printer_is_made_cold(tmp_path):
    cuts = await left_in_print(tmp_path, after_reboot="ask", after_reboot_min=45)
    async with cuts.world.host() as host:
        await until(host, JobState.PAUSED)
        await asyncio.sleep(30 * 60)
    await cuts.power_fails()  # the time does not begin anew
    async with cuts.world.host() as host:
        await until(host, JobState.PAUSED)
        await asyncio.sleep(12 * 60)
        assert host.jobs.state is JobState.PAUSED
        assert cuts.world.firmware.board.bed.target == 50
        await asyncio.sleep(4 * 60)
        assert host.jobs.state is JobState.INTERRUPTED
        assert "nobody resumed the print within 45 min" in host.jobs.error
        assert cuts.world.firmware.board.bed.target == 0


async def ended(cuts: Cuts) -> str:
    """Return why the print does not go on; nothing moves, and the printer is cold."""
    async with cuts.world.host() as host:
        await until(host, JobState.INTERRUPTED)
        printed = len(of_file(cuts.world))
        await asyncio.sleep(60)
        assert cuts.world.firmware.board.hotend.target == 0
        assert len(of_file(cuts.world)) == printed
        return host.jobs.error


async def test_safe_ends_it(tmp_path):
    assert "job.after_reboot is safe" in await ended(await left_in_print(tmp_path, after_reboot="safe"))


async def test_a_board_that_lost_its_power_too_is_not_gone_on_with(tmp_path):
    cuts = await left_in_print(tmp_path)
    cuts.world.firmware.reset(cuts.world.clock.now)
    assert "the printer restarted" in await ended(cuts)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (0, "the printer has turned tool0 off"),
        (170, "the target of tool0 has changed from 200 to 170 °C"),
    ],
)
async def test_a_printer_whose_heat_is_another_is_not_gone_on_with(tmp_path, target, reason):
    cuts = await left_in_print(tmp_path)
    cuts.world.firmware.board.hotend.target = target
    assert reason in await ended(cuts)


TOWER = [line for n, line in enumerate(AT_ONCE) for line in ([f"M104 S{200 - n / 8:g}"] if n % 8 == 0 else []) + [line]]


@pytest.mark.parametrize(
    ("target", "reason"), [(None, ""), (0, "turned tool0 off"), (170, "the target of tool0 has changed")]
)
async def test_heat_is_compared_with_what_the_last_lines_have_set(tmp_path, target, reason):
    cuts = await left_in_print(tmp_path, lines=TOWER)
    if target is not None:
        cuts.world.firmware.board.hotend.target = target
        assert reason in await ended(cuts)
        return
    async with cuts.world.host() as host:
        await until(host, JobState.COMPLETED)
    cuts.check(JobState.COMPLETED)


async def test_a_head_that_somebody_has_moved_is_not_gone_on_with(tmp_path):
    cuts = await left_in_print(tmp_path)
    cuts.world.firmware.receive(b"G91\nG1 X7\nG90\n", cuts.world.clock.now)
    await asyncio.sleep(5)
    cuts.world.firmware.advance(cuts.world.clock.now)
    assert "the head is at X" in await ended(cuts)


async def test_filament_that_somebody_has_moved_is_not_pulled_back(tmp_path):
    cuts = await left_in_print(tmp_path)
    firmware = cuts.world.firmware
    firmware.receive(b"G91\nG1 E30\nG90\n", cuts.world.clock.now)
    await asyncio.sleep(5)
    firmware.advance(cuts.world.clock.now)
    before = len(cuts.world.oracle.commands)
    async with cuts.world.host() as host:
        await until(host, JobState.COMPLETED)
    cuts.check(JobState.COMPLETED)
    sent = [each.command for each in cuts.world.oracle.commands][before:]
    of_file = next(each for each in sent if each in OF_FILE and " E" in each)
    [put_right] = [each for each in sent[: sent.index(of_file)] if each.startswith("G92 E")]
    assert 0 <= float(of_file.partition(" E")[2].split()[0]) - float(put_right[5:]) < 1


async def test_a_file_that_is_another_is_not_gone_on_with(tmp_path):
    cuts = await left_in_print(tmp_path)
    (tmp_path / "printing").unlink()
    cuts.world.write([*AT_ONCE, "M117 more"])
    assert "the file has been changed" in await ended(cuts)


async def test_a_damaged_note_of_the_place_leads_to_no_place(tmp_path):
    cuts = await left_in_print(tmp_path)
    cuts.world.place.text = cuts.world.place.text[:-30]
    assert "the daemon ended during the print" in await ended(cuts)


async def test_a_paused_print_stays_paused(tmp_path):
    async def pause(host) -> None:
        host.jobs.pause()
        await until(host, JobState.PAUSED)
        await host.connection.commands.send(["G91", "G1 Z1.5", "G90"])  # whatever is sent in a pause
        await asyncio.sleep(5)

    cuts = await left_in_print(tmp_path, meanwhile=pause)
    async with cuts.world.host() as host:
        await until(host, JobState.PAUSED)
        await asyncio.sleep(60)
        assert host.jobs.state is JobState.PAUSED
        host.jobs.resume()
        await until(host, JobState.COMPLETED)
    cuts.check(JobState.COMPLETED)


@pytest.mark.parametrize(
    ("state", "why"),
    [(JobState.PAUSING, "pause"), (JobState.RESUMING, "pause"), (JobState.CANCELLING, "it was being cancelled")],
)
async def test_on_its_way_into_a_pause_out_of_it_or_to_its_end_a_print_ends(tmp_path, state, why):
    async def go(host) -> None:
        if state is JobState.CANCELLING:
            host.jobs.cancel()
        else:
            host.jobs.pause()
        if state is JobState.RESUMING:
            await until(host, JobState.PAUSED)
            await asyncio.sleep(1)
            host.jobs.resume()
        await asyncio.sleep(0.005)
        assert host.jobs.state is state

    assert why in await ended(await left_in_print(tmp_path, meanwhile=go))


async def test_nothing_goes_between_the_lines_before_the_disk_knows_where(tmp_path):
    """A disk that takes 2 s: the command has to wait, and the file's lines go on meanwhile."""

    async def talk(host) -> None:
        await asyncio.sleep(6)
        cuts.world.place.takes = [2.0]
        before, printed = cuts.world.place.text, len(of_file(cuts.world))
        await host.connection.commands.send(["M117 chat"])
        while "M117 chat" not in [each.command for each in cuts.world.oracle.commands]:
            assert host.jobs.state is JobState.PRINTING
            went, before = before, cuts.world.place.text
            await asyncio.sleep(0.01)
        assert b'"gaps":[[' in went, "it is on the disk before it is on the wire"
        assert len(of_file(cuts.world)) > printed + 2

    cuts = Cuts(tmp_path, 0, FirmwareConfig(baudrate=115200))
    async with cuts.world.host() as host:
        host.jobs.select(cuts.world.write(AT_ONCE))
        host.jobs.start()
        await asyncio.sleep(9)
        await talk(host)


async def test_a_disk_that_fails_keeps_no_command_and_no_line_waiting(tmp_path):
    cuts = Cuts(tmp_path, 0, FirmwareConfig(baudrate=115200))
    async with cuts.world.host() as host:
        host.jobs.select(cuts.world.write(AT_ONCE))
        host.jobs.start()
        await asyncio.sleep(9)
        cuts.world.place.takes = [1e9]
        await host.connection.commands.send(["M117 chat"])
        await asyncio.sleep(15)
        assert "M117 chat" in [each.command for each in cuts.world.oracle.commands]
        await until(host, JobState.COMPLETED)
    cuts.check(JobState.COMPLETED)


async def test_what_a_disk_knows_that_has_failed_leads_nowhere(tmp_path):
    """It fails, a command that it does not know of goes between the lines, then it works again."""
    cuts = Cuts(tmp_path, 0, FirmwareConfig(baudrate=115200))
    world = cuts.world
    async with world.host() as host:
        world.reset_on_open = False
        host.jobs.select(world.write([*AT_ONCE, *PART]))
        host.jobs.start()
        await asyncio.sleep(9)
        world.place.fails = 2
        await host.connection.commands.send(["M117 chat"])
        await asyncio.sleep(8)
        assert host.jobs.state is JobState.PRINTING
    await cuts.power_fails()
    assert "the disk had failed by then" in await ended(cuts)


async def test_heaters_off_waits_for_no_disk(tmp_path):
    cuts = Cuts(tmp_path, 0, FirmwareConfig(baudrate=115200))
    async with cuts.world.host() as host:
        host.jobs.select(cuts.world.write(AT_ONCE))
        host.jobs.start()
        await asyncio.sleep(9)
        cuts.world.place.takes = [1e9]
        host.jobs.turn_heaters_off(Unsafe("it burns"))
        await asyncio.sleep(0.5)
        assert cuts.world.firmware.board.hotend.target == 0


async def test_what_the_disk_knows_of_another_print_is_not_taken_for_this_one(tmp_path):
    cuts = Cuts(tmp_path, 0, FirmwareConfig(baudrate=115200))
    world = cuts.world
    async with world.host() as host:
        host.jobs.select(world.write(AT_ONCE))
        host.jobs.start()
        await asyncio.sleep(9)
    note, before = json.loads(world.place.text), len(world.place.put)
    world.place.text = json.dumps(note | {"page": note["page"] | {"job": 99}}).encode()
    async with world.host() as host:
        await until(host, JobState.COMPLETED)
    assert json.loads(world.place.put[before])["why"] == "the disk did not know of it"
    assert not [text for text in world.place.put[before:] if b'"job":99' in text]
    cuts.check(JobState.COMPLETED)


async def test_a_restart_in_the_same_boot_goes_by_the_logbook_and_the_disk_follows(tmp_path):
    """The host is killed, the next one goes on by its logbook; then the power fails."""
    cuts = Cuts(tmp_path, 0, FirmwareConfig(baudrate=115200))
    world = cuts.world
    world.config = replace(world.config, job=replace(world.config.job, **cuts.job))
    async with world.host() as host:
        world.reset_on_open = False
        host.jobs.select(world.write(AT_ONCE))
        host.jobs.start()
        await asyncio.sleep(9)
        await host.connection.commands.send([f"M117 chat {n}" for n in range(9)])
        await asyncio.sleep(0.03)
    async with world.host() as host:
        await until(host, JobState.PRINTING)
        await asyncio.sleep(1)
        await host.connection.commands.send(["M117 more"])
        await asyncio.sleep(0.5)
    await cuts.power_fails()
    async with world.host() as host:
        await until(host, JobState.COMPLETED, JobState.INTERRUPTED)
        assert host.jobs.state is JobState.COMPLETED
    cuts.check(JobState.COMPLETED)
