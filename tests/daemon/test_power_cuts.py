"""The host loses its power during a print, repeatedly; the printer keeps its own."""

import asyncio
import json
import random
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from daemon.bridge.words import JobState
from daemon.config import PauseConfig
from daemon.errors import Unsafe
from gcode.errors import QueueFull, RemoteProtocolError
from hal.errors import NotConnected
from hal.printer import FirmwareSaid
from hal.simulated.config import FirmwareConfig
from hal.simulated.personalities import FIRMWARES
from support.mortal import HostLife, MortalDisk, PlaceDisk, World, until_state

HEAD = ["M140 S50", "M109 S200", "G28", "G1 Z0.2 F600"]
PART = [
    line
    for n in range(240)
    for line in (
        f"G1 X{20 + n % 7 * 11} Y{20 + n % 60} E{n / 10:g} F9000",
        f"M106 P0 S{n % 256}",  # a position does not tell the place of these lines
        f"G4 P{n % 90}",
        f"G1 Z{0.2 + n // 40 * 0.2:g}",
    )
]
FILE = [*HEAD, *PART]
# a file that prints at once: without homing, and without waiting for heat
AT_ONCE = ["M140 S50", "M104 S200", "G1 Z0.2 F600", *PART[:240]]
OF_FILE = frozenset({*PART})
MAX_PRINT = 900  # simulated s
BOOT = 35.0  # s from the plug to the service


def file_lines(world) -> list[str]:
    return [each.command for each in world.oracle.commands if each.command in OF_FILE]


class Cuts:
    """A world in which the power of the host fails repeatedly."""

    def __init__(self, folder, seed: int, firmware: FirmwareConfig, **job) -> None:
        self.world = World(folder, firmware)
        self.rng = random.Random(seed)
        self.world.disk, self.world.place = MortalDisk(folder / "state"), PlaceDisk(seed)
        self.job = {"after_reboot": "resume"} | job
        self.printed = 0  # file lines of earlier prints
        self.endings: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.clients = True

    async def run(self, cuts: int) -> None:
        while sum(self.endings.values()) < cuts:
            await self.print_once(cuts)

    async def print_once(self, cuts: int) -> None:
        """Print the file, with power cuts until the print has ended."""
        rng, world, cut = self.rng, self.world, False
        self.printed = len(file_lines(world))
        while True:
            last = sum(self.endings.values()) >= cuts
            bytes_left = rng.choice([rng.randrange(2500), 10_000]) if cut else 10_000
            life = HostLife() if last else HostLife(bytes_left=bytes_left)
            world.config = replace(world.config, job=replace(world.config.job, **self.job))
            async with world.host(life) as host:
                if not cut:
                    world.reset_on_open = False
                    host.jobs.select(world.write(FILE))
                    host.jobs.start()
                await self.live(host, life, MAX_PRINT if last else rng.choice([rng.uniform(0, 3), rng.uniform(0, 20)]))
                state, error, active = host.jobs.state, host.jobs.error, host.jobs.active
            if cut and not (life.over and state is JobState.REATTACHING):
                self.endings["interrupted" if state is JobState.INTERRUPTED else "continued"] += 1
                self.reasons[error or ""] += state is JobState.INTERRUPTED
            self.check(state)
            if not active:
                return
            await self.power_fails()
            cut = True

    def check(self, state: JobState) -> None:
        lines = file_lines(self.world)[self.printed :]
        assert lines == PART[: len(lines)], "never twice, never a gap"
        assert lines in (PART, PART[:240]) or state is not JobState.COMPLETED

    async def live(self, host, life, stays: float) -> None:
        """Wait for `stays` s after the host has reattached; a client sends commands meanwhile."""
        loop, chat = asyncio.get_running_loop(), 0
        back, end = host.jobs.state is not JobState.REATTACHING, loop.time() + stays
        async with asyncio.timeout(2 * MAX_PRINT):
            while host.jobs.active and not life.over and (loop.time() < end or not back):
                if not back and host.jobs.state is not JobState.REATTACHING:
                    back, end = True, loop.time() + stays
                if host.jobs.state is JobState.PAUSED:
                    host.jobs.resume()
                if self.clients and self.rng.random() < 0.005 and host.connection.ready:
                    chat += 1
                    with suppress(QueueFull, NotConnected):
                        await host.connection.commands.send([f"M117 chat {chat}"])
                await asyncio.sleep(0.05)

    async def power_fails(self) -> None:
        world = self.world
        world.boot += "+"
        (world.folder / "logbook").unlink()
        world.disk.roll_back()
        await asyncio.sleep(BOOT)  # the printer executes the commands that it has
        world.firmware.advance(world.clock.now)


def summary(cuts: Cuts) -> str:
    return f"{cuts.endings['continued']} of {cuts.endings.total()} continued; {dict(cuts.reasons)}"


async def test_a_print_survives_power_cuts_of_its_host(tmp_path):
    cuts = Cuts(tmp_path, 3, FirmwareConfig(baudrate=115200))
    await cuts.run(9)
    assert cuts.endings["continued"] >= 0.8 * cuts.endings.total(), summary(cuts)
    # this firmware has no MeatPack decoder, and would execute an order to one as a line
    assert [each.command for each in cuts.world.oracle.commands if not each.command.isascii()] == []


@pytest.mark.nightly
@pytest.mark.parametrize(
    "name", ["marlin", "marlin21", "marlin21-meatpack", "marlin1.0", "prusa", "smoothie", "repetier"]
)
@pytest.mark.parametrize("seed", range(2))
async def test_a_print_survives_a_hundred_power_cuts_of_its_host(tmp_path, name, seed):
    cuts = Cuts(tmp_path, seed, replace(FIRMWARES[name], baudrate=115200))
    await cuts.run(120)
    assert cuts.endings["continued"] >= 0.95 * cuts.endings.total(), summary(cuts)


# -- one power cut --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def printing(cuts, lines=AT_ONCE, seconds: float = 9, *, resets=True):
    """Run a host that has printed for some seconds; a board that `resets` does so when it is opened again."""
    world = cuts.world
    async with world.host() as host:
        world.reset_on_open = resets
        host.jobs.select(world.write(lines))
        host.jobs.start()
        await asyncio.sleep(seconds)
        yield host


async def left_in_print(folder, seconds: float = 9, meanwhile=None, lines=AT_ONCE, **job) -> Cuts:
    """Return a world in which the power failed during a print, after its host was passed to `meanwhile`."""
    cuts = Cuts(folder, 0, FirmwareConfig(baudrate=115200), **job)
    world = cuts.world
    world.place.write_seconds = [0.002]
    world.config = replace(world.config, job=replace(world.config.job, **cuts.job), pause=PauseConfig(park="corner"))
    async with printing(cuts, lines, seconds, resets=False) as host:
        assert host.jobs.state is JobState.PRINTING
        if meanwhile is not None:
            await meanwhile(host)
    await cuts.power_fails()
    return cuts


async def test_with_ask_a_print_waits_for_the_user_and_resumes_with_the_next_line(tmp_path):
    cuts = await left_in_print(tmp_path, after_reboot="ask")
    async with cuts.world.host() as host:
        await until_state(host, JobState.PAUSED)
        printed = len(file_lines(cuts.world))
        assert 0 < printed < 240
        assert "rebooted" in host.jobs.pause_reason
        await asyncio.sleep(20 * 60)
        assert host.jobs.state is JobState.PAUSED
        assert cuts.world.firmware.board.hotend.target == 200, "a paused print stays warm"
        assert host.jobs.progress.print_time < 5 * 60, "the boot is no printing time"
        host.jobs.resume()
        await until_state(host, JobState.COMPLETED)
    cuts.check(JobState.COMPLETED)


async def test_heaters_go_off_after_a_time_without_an_answer(tmp_path):
    cuts = await left_in_print(tmp_path, after_reboot="ask", after_reboot_min=45)
    async with cuts.world.host() as host:
        await until_state(host, JobState.PAUSED)
        await asyncio.sleep(30 * 60)
    await cuts.power_fails()  # this does not restart the time
    async with cuts.world.host() as host:
        await until_state(host, JobState.PAUSED)
        await asyncio.sleep(12 * 60)
        assert host.jobs.state is JobState.PAUSED
        assert cuts.world.firmware.board.bed.target == 50
        await asyncio.sleep(4 * 60)
        assert host.jobs.state is JobState.INTERRUPTED
        assert "nobody resumed the print within 45 min" in host.jobs.error
        assert cuts.world.firmware.board.bed.target == 0


async def test_a_user_who_has_resumed_and_pauses_while_it_heats_has_no_time_limit(tmp_path):
    cuts = await left_in_print(tmp_path, after_reboot="ask", after_reboot_min=45)
    async with cuts.world.host() as host:
        await until_state(host, JobState.PAUSED)
        host.connection.printer.submit("M104 S0")
        await asyncio.sleep(10 * 60)
        host.jobs.resume()
        await until_state(host, JobState.RESUMING)
        await asyncio.sleep(5)
        host.jobs.pause()
        await until_state(host, JobState.PAUSED)
        await asyncio.sleep(120 * 60)
        assert host.jobs.state is JobState.PAUSED, host.jobs.error
        host.jobs.resume()
        await until_state(host, JobState.COMPLETED)
    cuts.check(JobState.COMPLETED)


@pytest.mark.parametrize("firmware", ["marlin21", "marlin21-meatpack"])
@pytest.mark.parametrize("end", ["heaters off", "emergency stop"])
async def test_a_command_that_the_power_cut_off_does_not_stop_the_printer_for_its_user(tmp_path, firmware, end):
    """What is left of M104 or M112 may be M1."""
    cuts = Cuts(tmp_path, 0, replace(FIRMWARES[firmware], baudrate=115200), after_reboot="resume")
    world, life = cuts.world, HostLife()
    world.config = replace(world.config, job=replace(world.config.job, **cuts.job))
    async with world.host(life) as host:
        world.reset_on_open = False
        host.jobs.select(world.write(AT_ONCE))
        host.jobs.start()
        await asyncio.sleep(9)
        printer = host.connection.printer
        # the reset of the decoder comes first, and a line feed
        life.bytes_left = len(printer._decoder_reset) + (
            len("\nM1") if end == "heaters off" or printer._decoder_reset else len("M1")
        )
        if end == "heaters off":
            printer._fail(RemoteProtocolError("it answers nonsense"))
        else:
            host.connection.emergency_stop()
        assert life.over
    await cuts.power_fails()
    async with world.host() as host:
        await asyncio.sleep(5)
        assert host.jobs.state is JobState.PRINTING, host.jobs.error
        await until_state(host, JobState.COMPLETED)
    stops = [each.command for each in world.oracle.commands if each.command[:3] in ("M1", "M1 ")]
    assert stops == ["M1 P1"], "the test is about this command"
    cuts.check(JobState.COMPLETED)


@pytest.mark.parametrize("reboots", [False, True])
async def test_the_user_reads_that_a_print_waits_for_them_at_the_printer(tmp_path, reboots):
    cuts = Cuts(tmp_path, 0, replace(FIRMWARES["marlin21"], baudrate=115200), after_reboot="resume")
    world, texts = cuts.world, []
    world.config = replace(world.config, job=replace(world.config.job, **cuts.job))
    async with printing(cuts, resets=False) as host:
        host.connection.printer._transport.write(b"M1\n")  # as from its panel
        await asyncio.sleep(0.01)
    if reboots:
        await cuts.power_fails()
    async with world.host() as host:
        host.connection.subscribe(lambda event: texts.append(event.text) if isinstance(event, FirmwareSaid) else None)
        await asyncio.sleep(60)
        assert host.jobs.state is JobState.REATTACHING
        assert sum("the printer waits for its user: answer it at its panel" in text for text in texts) == 1
        host.connection.printer._transport.press_knob()
        await until_state(host, JobState.COMPLETED)
    cuts.check(JobState.COMPLETED)


async def interruption(cuts: Cuts) -> str:
    """Return why the print was interrupted; check that nothing moves and the heaters are off."""
    async with cuts.world.host() as host:
        await until_state(host, JobState.INTERRUPTED)
        printed = len(file_lines(cuts.world))
        await asyncio.sleep(60)
        assert cuts.world.firmware.board.hotend.target == 0
        assert len(file_lines(cuts.world)) == printed
        return host.jobs.error


async def test_with_safe_a_print_is_interrupted(tmp_path):
    assert '(job.after_reboot = "safe")' in await interruption(await left_in_print(tmp_path, after_reboot="safe"))


async def test_a_print_is_not_resumed_on_a_board_that_lost_its_power(tmp_path):
    cuts = await left_in_print(tmp_path)
    cuts.world.firmware.reset(cuts.world.clock.now)
    assert "the printer restarted" in await interruption(cuts)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (0, "the printer has turned tool0 off"),
        (170, "the target of tool0 has changed from 200 to 170 °C"),
    ],
)
async def test_a_print_is_not_resumed_with_other_targets(tmp_path, target, reason):
    cuts = await left_in_print(tmp_path)
    cuts.world.firmware.board.hotend.target = target
    assert reason in await interruption(cuts)


TOWER = [line for n, line in enumerate(AT_ONCE) for line in ([f"M104 S{200 - n / 8:g}"] if n % 8 == 0 else []) + [line]]


@pytest.mark.parametrize(
    ("target", "reason"), [(None, ""), (0, "turned tool0 off"), (170, "the target of tool0 has changed")]
)
async def test_targets_are_compared_with_those_in_the_last_lines(tmp_path, target, reason):
    cuts = await left_in_print(tmp_path, lines=TOWER)
    if target is not None:
        cuts.world.firmware.board.hotend.target = target
        assert reason in await interruption(cuts)
        return
    async with cuts.world.host() as host:
        await until_state(host, JobState.COMPLETED)
    cuts.check(JobState.COMPLETED)


async def test_a_print_is_not_resumed_after_a_user_moved_the_head(tmp_path):
    cuts = await left_in_print(tmp_path)
    cuts.world.firmware.receive(b"G91\nG1 X7\nG90\n", cuts.world.clock.now)
    await asyncio.sleep(5)
    cuts.world.firmware.advance(cuts.world.clock.now)
    assert "the head is at X" in await interruption(cuts)


async def test_filament_that_a_user_moved_is_not_pulled_back(tmp_path):
    cuts = await left_in_print(tmp_path)
    firmware = cuts.world.firmware
    firmware.receive(b"G91\nG1 E30\nG90\n", cuts.world.clock.now)
    await asyncio.sleep(5)
    firmware.advance(cuts.world.clock.now)
    before = len(cuts.world.oracle.commands)
    async with cuts.world.host() as host:
        await until_state(host, JobState.COMPLETED)
    cuts.check(JobState.COMPLETED)
    sent = [each.command for each in cuts.world.oracle.commands][before:]
    first = next(each for each in sent if each in OF_FILE and " E" in each)
    [correction] = [each for each in sent[: sent.index(first)] if each.startswith("G92 E")]
    assert 0 <= float(first.partition(" E")[2].split()[0]) - float(correction[5:]) < 1


async def test_a_print_is_not_resumed_from_a_changed_file(tmp_path):
    cuts = await left_in_print(tmp_path)
    (tmp_path / "printing").unlink()
    cuts.world.write([*AT_ONCE, "M117 more"])
    assert "the file has been changed" in await interruption(cuts)


async def test_a_print_is_not_resumed_from_a_damaged_note(tmp_path):
    cuts = await left_in_print(tmp_path)
    cuts.world.place.text = cuts.world.place.text[:-30]
    assert "the daemon ended during the print" in await interruption(cuts)


async def test_a_paused_print_stays_paused(tmp_path):
    async def pause(host) -> None:
        host.jobs.pause()
        await until_state(host, JobState.PAUSED)
        await host.connection.commands.send(["G91", "G1 Z1.5", "G90"])  # whatever is sent in a pause
        await asyncio.sleep(5)

    cuts = await left_in_print(tmp_path, meanwhile=pause)
    async with cuts.world.host() as host:
        await until_state(host, JobState.PAUSED)
        await asyncio.sleep(60)
        assert host.jobs.state is JobState.PAUSED
        host.jobs.resume()
        await until_state(host, JobState.COMPLETED)
    cuts.check(JobState.COMPLETED)


@pytest.mark.parametrize(
    ("state", "why"),
    [(JobState.PAUSING, "pause"), (JobState.RESUMING, "pause"), (JobState.CANCELLING, "the print was being cancelled")],
)
async def test_a_print_that_was_pausing_resuming_or_cancelling_is_interrupted(tmp_path, state, why):
    async def go(host) -> None:
        if state is JobState.CANCELLING:
            host.jobs.cancel()
        else:
            host.jobs.pause()
        if state is JobState.RESUMING:
            await until_state(host, JobState.PAUSED)
            await asyncio.sleep(1)
            host.jobs.resume()
        await asyncio.sleep(0.005)
        assert host.jobs.state is state

    assert why in await interruption(await left_in_print(tmp_path, meanwhile=go))


async def test_a_command_waits_until_its_place_is_on_the_disk(tmp_path):
    """A write takes 2 s: the command has to wait, and the file's lines do not."""

    async def talk(host) -> None:
        await asyncio.sleep(6)
        cuts.world.place.write_seconds = [2.0]
        before, printed = cuts.world.place.text, len(file_lines(cuts.world))
        await host.connection.commands.send(["M117 chat"])
        while "M117 chat" not in [each.command for each in cuts.world.oracle.commands]:
            assert host.jobs.state is JobState.PRINTING
            went, before = before, cuts.world.place.text
            await asyncio.sleep(0.01)
        assert b'"gaps":[[' in went, "the place is on the disk before the command is on the wire"
        assert len(file_lines(cuts.world)) > printed + 2

    cuts = Cuts(tmp_path, 0, FirmwareConfig(baudrate=115200))
    async with printing(cuts) as host:
        await talk(host)


async def test_a_hanging_disk_delays_neither_commands_nor_lines_for_long(tmp_path):
    cuts = Cuts(tmp_path, 0, FirmwareConfig(baudrate=115200))
    async with printing(cuts) as host:
        cuts.world.place.write_seconds = [1e9]
        await host.connection.commands.send(["M117 chat"])
        await asyncio.sleep(15)
        assert "M117 chat" in [each.command for each in cuts.world.oracle.commands]
        await until_state(host, JobState.COMPLETED)
    cuts.check(JobState.COMPLETED)


async def test_a_print_is_not_resumed_if_the_disk_had_failed(tmp_path):
    """The disk fails, a command is sent without a note on it, then the disk works again."""
    cuts = Cuts(tmp_path, 0, FirmwareConfig(baudrate=115200))
    world = cuts.world
    async with printing(cuts, [*AT_ONCE, *PART], resets=False) as host:
        world.place.failures_left = 2
        await host.connection.commands.send(["M117 chat"])
        await asyncio.sleep(8)
        assert host.jobs.state is JobState.PRINTING
    await cuts.power_fails()
    assert "the disk had failed by then" in await interruption(cuts)


async def test_heaters_off_does_not_wait_for_the_disk(tmp_path):
    cuts = Cuts(tmp_path, 0, FirmwareConfig(baudrate=115200))
    async with printing(cuts) as host:
        cuts.world.place.write_seconds = [1e9]
        host.jobs.turn_heaters_off(Unsafe("it burns"))
        await asyncio.sleep(0.5)
        assert cuts.world.firmware.board.hotend.target == 0


async def test_a_note_of_another_print_is_ignored(tmp_path):
    cuts = Cuts(tmp_path, 0, FirmwareConfig(baudrate=115200))
    world = cuts.world
    async with printing(cuts):
        pass
    note, before = json.loads(world.place.text), len(world.place.texts)
    world.place.text = json.dumps(note | {"page": note["page"] | {"job": 99}}).encode()
    async with world.host() as host:
        await until_state(host, JobState.COMPLETED)
    assert json.loads(world.place.texts[before])["why"] == "its note was not on the disk yet"
    assert not [text for text in world.place.texts[before:] if b'"job":99' in text]
    cuts.check(JobState.COMPLETED)


async def test_a_restart_in_the_same_boot_uses_the_logbook_and_updates_the_disk(tmp_path):
    """The host is killed, the next one reattaches by its logbook; then the power fails."""
    cuts = Cuts(tmp_path, 0, FirmwareConfig(baudrate=115200))
    world = cuts.world
    world.config = replace(world.config, job=replace(world.config.job, **cuts.job))
    async with printing(cuts, resets=False) as host:
        await host.connection.commands.send([f"M117 chat {n}" for n in range(9)])
        await asyncio.sleep(0.03)
    async with world.host() as host:
        await until_state(host, JobState.PRINTING)
        await asyncio.sleep(1)
        await host.connection.commands.send(["M117 more"])
        await asyncio.sleep(0.5)
    await cuts.power_fails()
    async with world.host() as host:
        await until_state(host, JobState.COMPLETED, JobState.INTERRUPTED)
        assert host.jobs.state is JobState.COMPLETED
    cuts.check(JobState.COMPLETED)
