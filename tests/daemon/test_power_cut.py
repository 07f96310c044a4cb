"""The power of the host fails: unsynced data is lost, and no print is resumed at a wrong place."""

import asyncio
from dataclasses import replace

import pytest

from daemon.bridge.words import JobState
from daemon.core.connection.losing import MAX_LOSSES
from daemon.core.job import after_reboot
from hal.driver import LinePrinter
from hal.errors import PortLost
from hal.printer import ConnectionState, StateChanged
from hal.simulated.config import FirmwareConfig
from hal.simulated.personalities import FIRMWARES
from support.mortal import HostLife, MortalDisk, PlaceDisk, World, until_over, until_state

MOVES = [f"G1 X{n % 2 * 10} Y{n} E{n / 10:g} F6000" for n in range(30)]
PART = ["M104 S200", *MOVES]
STEP = 131  # bytes between two cuts: every phase, and no two in the same place of a line


def world_in(folder) -> World:
    folder.mkdir()
    world = World(folder)
    world.disk = MortalDisk(folder / "state")
    return world


def moves_of(world) -> list[str]:
    return [each.command for each in world.oracle.commands if each.command in MOVES]


async def print_until_cut(world, cut: float, user: str = "ann") -> bool:
    """Print until so many bytes are sent; False: the print was over before."""
    async with world.host(life := HostLife(bytes_left=cut)) as host:
        if not life.over:
            host.jobs.select(replace(world.write(PART), user=user))
            host.jobs.start()
            await until_over(host)
        return life.over


async def cuts(tmp_path, prepare=None):
    """One world after the other, in which the host has died a bit later each time."""
    for cut in range(0, 100_000, STEP):
        world = world_in(tmp_path / f"{cut}")
        if prepare is not None:
            await prepare(world)
        if not await print_until_cut(world, cut):
            assert cut > 5 * STEP
            return
        yield world


@pytest.mark.parametrize("logbook", ["gone", "left"])
@pytest.mark.parametrize("board", ["without power too", "with power of its own"])
@pytest.mark.parametrize("torn", [0, 3000])
async def test_a_print_without_a_synced_record_does_not_continue_after_a_power_cut(tmp_path, logbook, board, torn):
    recorded = 0
    async for world in cuts(tmp_path):
        world.boot = "another"
        if logbook == "gone":
            (world.folder / "logbook").unlink()
        if board == "without power too":
            world.firmware.reset(world.clock.now)
        if torn:
            (world.folder / "printing").unlink(missing_ok=True)  # the name was not synced either
        world.disk.roll_back(torn=torn)
        await asyncio.sleep(30)  # a board that keeps its power executes what it has received
        world.firmware.advance(world.clock.now)
        printed = len(moves_of(world))
        async with world.host() as host:
            assert not host.jobs.active
            await asyncio.sleep(60)
            assert not host.jobs.active
            assert host.connection.ready
            assert world.firmware.board.hotend.target == 0
            assert await host.records.unfinished_jobs() == []
            for job in await host.records.jobs(10):
                recorded += 1
                assert job.outcome == "INTERRUPTED"
                assert host.jobs.state is JobState.INTERRUPTED
        assert len(moves_of(world)) == printed
    assert recorded > 5


async def test_after_a_power_cut_the_file_can_be_printed_again(tmp_path):
    world = world_in(tmp_path / "world")
    assert await print_until_cut(world, 1000)
    world.boot = "another"
    world.firmware.reset(world.clock.now)
    world.disk.roll_back()
    printed = len(moves_of(world))
    async with world.host() as host:
        assert host.jobs.selected.path == "part.gcode"
        host.jobs.start()
        await until_over(host)
        assert host.jobs.state is JobState.COMPLETED
    assert moves_of(world)[printed:] == MOVES


async def outcomes_of(world, user) -> list[tuple[str | None, int]]:
    async with world.host() as host:
        return [(job.outcome, job.lines) for job in await host.records.jobs(10) if job.user == user]


@pytest.mark.parametrize("back", [1, 2, 3])
async def test_an_older_store_does_not_mislead_a_reattached_print(tmp_path, back):
    """The machine was not rebooted, and the printer knows the place; the store is older than both."""

    async def another_print(world) -> None:
        assert not await print_until_cut(world, float("inf"), user="another")

    reattached_count = 0
    async for world in cuts(tmp_path, another_print):
        before = len(MOVES)
        world.disk.roll_back(max(-back, -len(world.disk.synced)))
        async with world.host() as host:
            is_reattached = host.jobs.active
            await until_over(host)
            state = host.jobs.state
        printed = moves_of(world)[before:]
        assert printed == MOVES[: len(printed)], "never twice, never a gap"
        assert state in (JobState.COMPLETED, JobState.INTERRUPTED, None)
        if state is JobState.COMPLETED:  # if not reattached: the print before, as the store lost this one
            assert printed == (MOVES if is_reattached else [])
            reattached_count += is_reattached
            assert not is_reattached or await outcomes_of(world, "ann") == [("COMPLETED", len(PART))]
    assert reattached_count > 5


async def test_a_continued_print_keeps_its_heat_despite_an_older_job_in_the_store(tmp_path):
    world = world_in(tmp_path / "world")
    assert not await print_until_cut(world, float("inf"))
    assert await print_until_cut(world, 1000)
    world.disk.roll_back(1)  # the first print had begun
    world.reset_on_open = False  # which would turn off the heat as well
    async with world.host() as host:
        assert host.jobs.state is JobState.REATTACHING
        await until_over(host)
        assert host.jobs.state is JobState.COMPLETED
        assert world.firmware.board.hotend.target == 200
        host.connection.printer._transport.unplug()
        await asyncio.sleep(30)
        assert host.connection.ready
        assert world.firmware.board.hotend.target == 200, "no heaters off was requested"


@pytest.mark.parametrize(("seconds", "target"), [(None, 0), (20, 200)])
async def test_a_print_that_a_user_began_at_the_panel_meanwhile_keeps_its_heat(tmp_path, seconds, target):
    (tmp_path / "world").mkdir()
    world = World(tmp_path / "world", FirmwareConfig(sd_card=True))
    world.disk = MortalDisk(world.folder / "state")
    assert await print_until_cut(world, 1000)
    (world.folder / "logbook").unlink()
    world.boot, world.reset_on_open = "another", False
    world.disk.roll_back()
    world.firmware.reset(world.clock.now)  # by the user, before that print
    await asyncio.sleep(20)
    if seconds is not None:
        world.firmware.start_panel_print("CUBE.GCO", 30_000)
        await asyncio.sleep(seconds)
    world.firmware.board.hotend.target = 200
    async with world.host() as host:
        await asyncio.sleep(10)
        assert host.jobs.state is JobState.INTERRUPTED
        assert world.firmware.board.hotend.target == target


async def cut_in_the_middle(world, lines=PART) -> None:
    """Print some lines until the host loses its power; the logbook is gone then."""
    async with world.host() as host:
        host.jobs.select(world.write([*lines, *["G4 S1"] * 60]))
        host.jobs.start()
        await until_state(host, JobState.PRINTING)
        await asyncio.sleep(12)
        assert host.jobs.state is JobState.PRINTING
    world.boot, world.reset_on_open = world.boot + "+", False
    (world.folder / "logbook").unlink()
    world.disk.roll_back()


def with_place(folder) -> World:
    world = world_in(folder)
    world.place = PlaceDisk()
    return world


async def test_the_place_of_a_print_that_could_not_continue_does_not_mislead_the_next_one(tmp_path):
    world = with_place(tmp_path / "world")
    await cut_in_the_middle(world)
    world.firmware.reset(world.clock.now)
    async with world.host() as host:
        await until_state(host, JobState.INTERRUPTED)
        await asyncio.sleep(30)
        printed = len(moves_of(world))
        host.jobs.start()
        await until_state(host, JobState.PRINTING)
        await asyncio.sleep(4)
        assert (world.folder / "logbook").read_bytes().strip(b"\0"), "the next host has to find this print"
        world.firmware.plugged_at = world.clock.now + 2
        host.connection.printer._transport.unplug()
        await until_state(host, JobState.REATTACHING)
        await until_over(host)
        assert host.jobs.state is JobState.COMPLETED
    assert moves_of(world)[printed:] == MOVES


@pytest.mark.parametrize("moment", ["before it has the printer", "during the check"])
async def test_a_restart_while_it_reattaches_after_a_reboot_leaves_the_print_to_the_next_host(
    tmp_path, monkeypatch, moment
):
    world = with_place(tmp_path / "world")
    await cut_in_the_middle(world)
    printed = moves_of(world)
    checks, check = [], after_reboot.check_printer

    async def noted(*args):
        checks.append(args)
        if moment == "during the check" and len(checks) == 1:
            await asyncio.sleep(60)
        await check(*args)

    monkeypatch.setattr(after_reboot, "check_printer", noted)
    async with world.host() as host:
        while moment == "during the check" and not checks:  # noqa: ASYNC110 - as a user looks at the printer
            await asyncio.sleep(0.01)
        assert host.jobs.state is JobState.REATTACHING
        assert await host.jobs.hand_over()
    async with world.host() as host:
        await until_state(host, JobState.PAUSED, JobState.INTERRUPTED, JobState.COMPLETED)
        assert host.jobs.state is JobState.PAUSED, "the user is asked"
        assert len(checks) == (2 if moment == "during the check" else 1)
        assert moves_of(world) == printed
        host.jobs.resume()
        await until_over(host)
        assert host.jobs.state is JobState.COMPLETED
    assert moves_of(world) == MOVES


async def test_a_connection_lost_in_the_handshake_after_a_reboot_loses_no_line(tmp_path):
    world = with_place(tmp_path / "world")
    await cut_in_the_middle(world)
    pulled = []
    async with world.host() as host:

        def pull_at_once(event):
            if isinstance(event, StateChanged) and event.new is ConnectionState.READY and not pulled:
                pulled.append(True)
                world.firmware.plugged_at = world.clock.now + 1
                host.connection.printer._transport.unplug()

        host.connection.subscribe(pull_at_once)
        await until_state(host, JobState.PAUSED, JobState.INTERRUPTED)
        assert pulled
        assert host.jobs.state is JobState.PAUSED, host.jobs.error
        host.jobs.resume()
        await until_over(host)
        assert host.jobs.state is JobState.COMPLETED
    assert moves_of(world) == MOVES
    assert [each.command for each in world.oracle.commands].count("G4 S1") == 60


async def test_a_connection_lost_in_the_check_after_a_reboot_loses_no_line(tmp_path, monkeypatch):
    world = with_place(tmp_path / "world")
    world.config = replace(world.config, job=replace(world.config.job, heat_up="host"))
    lines = [*PART, *["G4 S1", "M190 S0"] * 60]
    async with world.host() as host:  # as `cut_in_the_middle`, with lines for the host after the note
        host.jobs.select(world.write(lines))
        host.jobs.start()
        await until_state(host, JobState.PRINTING)
        await asyncio.sleep(12)
    world.boot, world.reset_on_open = "another", False
    (world.folder / "logbook").unlink()
    world.disk.roll_back()
    offsets, check = [], after_reboot.check_printer

    async def check_and_lose(job, *args):
        offsets.append(job.snapshot.barrier_offset)
        if len(offsets) <= 2:
            world.firmware.plugged_at = world.clock.now + 1
            job.printer._transport.unplug()
        await check(job, *args)

    monkeypatch.setattr(after_reboot, "check_printer", check_and_lose)
    async with world.host() as host:
        await until_state(host, JobState.PAUSED, JobState.INTERRUPTED)
        assert len(offsets) == 3
        assert host.jobs.state is JobState.PAUSED, host.jobs.error
        host.jobs.resume()
        await until_over(host)
        assert host.jobs.state is JobState.COMPLETED
    assert moves_of(world) == MOVES
    assert [each.command for each in world.oracle.commands].count("G4 S1") == 60


async def test_a_second_attempt_counts_no_command_of_the_first_as_a_line_of_the_print(tmp_path, monkeypatch):
    world = with_place(tmp_path / "world")
    assert not await print_until_cut(world, float("inf"))
    printed = len(moves_of(world))
    async with world.host() as host:
        host.jobs.select(world.write([*PART, *["G4 S1"] * 60]))
        host.jobs.start()
        await until_state(host, JobState.PRINTING)
        await asyncio.sleep(12)
    world.boot, world.reset_on_open = "another", False
    (world.folder / "logbook").unlink()
    world.disk.roll_back(0)  # both records are lost
    counts, check, find = [], after_reboot.check_printer, after_reboot.find_place

    async def noted(*args):
        place = await find(*args)
        counts.append(place.fed.lines)
        return place

    async def check_and_lose(job, *args):
        if len(counts) == 1:
            world.firmware.plugged_at = world.clock.now + 1
            job.printer._transport.unplug()
        await check(job, *args)

    monkeypatch.setattr(after_reboot, "find_place", noted)
    monkeypatch.setattr(after_reboot, "check_printer", check_and_lose)
    async with world.host() as host:
        await until_state(host, JobState.PAUSED, JobState.INTERRUPTED)
        assert len(counts) == 2
        assert counts[0] == counts[1]
        assert host.jobs.state is JobState.PAUSED, host.jobs.error
    assert moves_of(world)[printed:] == MOVES


async def test_a_connection_that_is_lost_in_every_check_ends_the_print(tmp_path, monkeypatch):
    world = with_place(tmp_path / "world")
    await cut_in_the_middle(world)
    world.reset_on_open, check, losses = False, after_reboot.check_printer, []

    async def check_and_lose(job, *args):
        losses.append(world.clock.now)
        world.firmware.plugged_at = world.clock.now + 1
        job.printer._transport.unplug()
        await check(job, *args)

    monkeypatch.setattr(after_reboot, "check_printer", check_and_lose)
    async with world.host() as host:
        await asyncio.sleep(10 * 60)
        assert host.jobs.state is JobState.INTERRUPTED
        assert len(losses) == MAX_LOSSES + 1
        assert world.firmware.board.hotend.target == 0


async def test_losses_while_reattaching_and_in_the_check_count_together(tmp_path, monkeypatch):
    world = with_place(tmp_path / "world")
    await cut_in_the_middle(world)
    world.reset_on_open, check, reattach, losses = False, after_reboot.check_printer, LinePrinter.reattach, []

    def unplug(printer):
        losses.append(world.clock.now)
        world.firmware.plugged_at = world.clock.now + 1
        printer._transport.unplug()

    async def reattach_and_lose(printer, *args, **keywords):
        await reattach(printer, *args, **keywords)
        if len(losses) % 2 == 0:
            unplug(printer)
            raise PortLost("the plug is loose")

    async def check_and_lose(job, *args):
        unplug(job.printer)
        await check(job, *args)

    monkeypatch.setattr(LinePrinter, "reattach", reattach_and_lose)
    monkeypatch.setattr(after_reboot, "check_printer", check_and_lose)
    async with world.host() as host:
        await until_state(host, JobState.INTERRUPTED)
        assert len(losses) == MAX_LOSSES + 1


@pytest.mark.parametrize("loss", ["cable", "host"])
async def test_a_paused_print_that_is_lost_again_after_a_reboot_keeps_its_place(tmp_path, loss):
    """No command has been sent since the place was found: this firmware has no timer to set."""
    (tmp_path / "world").mkdir()
    world = World(tmp_path / "world", FIRMWARES["marlin1.0"])
    world.disk, world.place = MortalDisk(world.folder / "state"), PlaceDisk()
    async with world.host() as host:
        host.jobs.select(world.write([*PART[:11], "M0", *PART[11:]]))
        host.jobs.start()
        await until_state(host, JobState.PAUSED)
        await asyncio.sleep(5)
    assert moves_of(world) == MOVES[:10]
    world.boot, world.reset_on_open = "another", False
    (world.folder / "logbook").unlink()
    world.disk.roll_back()
    losses = []
    async with world.host(life := HostLife()) as host:

        def lose(state):
            if state is not JobState.PAUSED or losses:
                return
            losses.append(loss)
            if loss == "host":
                life.end()
            else:
                world.firmware.plugged_at = world.clock.now + 1
                host.connection.printer._transport.unplug()

        host.jobs.subscribe(lose)
        await asyncio.sleep(10)
    assert losses
    async with world.host() as host:
        await until_state(host, JobState.PAUSED)
        assert host.jobs.progress.lines == 11
        host.jobs.resume()
        await until_over(host)
        assert host.jobs.state is JobState.COMPLETED
    assert moves_of(world) == MOVES


@pytest.mark.parametrize("reboots", [False, True])
@pytest.mark.parametrize("ended_by", ["this boot", "the next boot"])
async def test_heaters_that_a_host_could_not_turn_off_are_turned_off_by_the_next_host(tmp_path, ended_by, reboots):
    """The host that ends the print dies before it has reached the printer."""
    world = with_place(tmp_path / "world")
    if ended_by == "the next boot":
        await cut_in_the_middle(world)
        world.config = replace(world.config, job=replace(world.config.job, after_reboot="safe"))
        world.firmware.plugged_at = world.clock.now + 100
    world.client_connects = ended_by == "this boot"
    async with world.host() as host:
        world.reset_on_open = False
        if ended_by == "this boot":
            host.jobs.select(world.write([*PART, *["G4 S1"] * 60]))
            host.jobs.start()
            await asyncio.sleep(12)
            world.firmware.plugged_at = world.clock.now + 100
            host.connection.printer._transport.unplug()
        await until_state(host, JobState.INTERRUPTED)
        await asyncio.sleep(1)
        assert world.firmware.board.hotend.target == 200
    world.client_connects = False
    for _ in range(2):  # this host may die too
        if reboots:
            world.boot += "+"
            (world.folder / "logbook").unlink()
            world.disk.roll_back()
        async with world.host():
            await asyncio.sleep(1)
    async with world.host() as host:
        await asyncio.sleep(120)
        assert host.connection.ready
        assert world.firmware.board.hotend.target == 0
        world.firmware.board.hotend.target = 200.0  # by its user
    async with world.host() as host:
        await asyncio.sleep(10)
        assert host.connection.ready
        assert world.firmware.board.hotend.target == 200, "no longer that of the print"


@pytest.mark.parametrize("firmware", ["klipper", "teacup"])
async def test_heaters_of_a_print_without_a_place_are_turned_off_after_a_reboot(tmp_path, firmware):
    """Such a firmware counts no lines, so the disk has no place of its print."""
    (tmp_path / "world").mkdir()
    world = World(tmp_path / "world", FIRMWARES[firmware])
    world.disk, world.place = MortalDisk(world.folder / "state"), PlaceDisk()
    async with world.host() as host:
        world.reset_on_open = False
        host.jobs.select(world.write(["M104 S200", *["G4 S1"] * 60]))
        host.jobs.start()
        await asyncio.sleep(12)
        world.firmware.plugged_at = world.clock.now + 100
        host.connection.printer._transport.unplug()
        await until_state(host, JobState.INTERRUPTED)
        await asyncio.sleep(1)
        assert world.firmware.board.hotend.target == 200
    world.client_connects, world.boot = False, "another"
    (world.folder / "logbook").unlink()
    world.disk.roll_back()
    async with world.host() as host:
        await asyncio.sleep(120)
        assert host.connection.ready
        assert world.firmware.board.hotend.target == 0
