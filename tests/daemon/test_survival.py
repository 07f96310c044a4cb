"""A print continues when its host is killed, with each line exactly once; or it ends, and nothing is repeated."""

import asyncio
import errno
import hashlib
import os
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.bridge.words import JobState
from daemon.config import PauseConfig, ScriptsConfig
from daemon.core.connection.losing import MAX_LOSSES
from daemon.core.job import file_check
from daemon.core.job.file_check import READ_INTERVAL, sha1_of
from gcode import flight
from gcode.compact import compactor
from gcode.errors import PrinterSilent, QueueFull
from gcode.flight import MAX_WIRE_NUMBER
from hal.logbook import UNREADABLE, Logbook
from hal.printer import ConnectionState, StateChanged
from hal.simulated.clock import run
from hal.simulated.config import FirmwareConfig
from hal.simulated.personalities import FIRMWARES
from support.job_host import InlineExecutor
from support.mortal import SCRIPTS, HostLife, MortalDisk, World, until_over, until_state

MOVES = [f"G1 X{n % 2 * 10} Y{n} E{n / 10:g} F6000" for n in range(60)]
MAX_PRINT = 600  # simulated s
FEW = settings().max_examples // 5  # of what takes a tenth of a second: 12, and 400 in the nightly profile
WAITS = ["G4 S1"] * 20


AS_SENT = {compactor("E")(move.encode()).decode(): move for move in MOVES} | {move: move for move in MOVES}


def moves_of(world) -> list[str]:
    return [AS_SENT[each.command] for each in world.oracle.commands if each.command in AS_SENT]


def said_by(world, name) -> list[str]:
    return [each.command for each in world.oracle.commands if each.command.startswith(f"M117 {name}")]


async def print_on(
    world, *lives: HostLife, pause_at: int | None = None, chatty: bool = False, from_line: int = 0
) -> JobState | None:
    """Print with one host after the other; the last one lives. Return how the job ended; None: before the last host."""
    paused, chat, quiet_until = False, 0, 0.0
    for number, life in enumerate([*lives, HostLife(damage=lives[-1].damage)]):
        async with world.host(life) as host:
            if number == 0 and not life.over:
                if from_line:
                    sent = host.connection.printer._link._flight
                    sent.next = sent.replay = from_line
                    world.firmware.set_line_number(from_line - 1)
                host.jobs.select(world.write(MOVES))
                host.jobs.start()
            async with asyncio.timeout(MAX_PRINT):
                while not life.over and host.jobs.active:
                    if not paused and pause_at is not None and len(moves_of(world)) >= pause_at:
                        if host.jobs.state is JobState.PRINTING:
                            host.jobs.pause()
                        paused = host.jobs.state in (JobState.PAUSING, JobState.PAUSED)
                    if host.jobs.state is JobState.PAUSED and paused:
                        host.jobs.resume()
                    if chatty and host.connection.ready and asyncio.get_running_loop().time() > quiet_until:
                        quiet_until = asyncio.get_running_loop().time() + 0.7
                        chat += 1
                        with suppress(QueueFull):
                            await host.connection.commands.send([f"M117 chat {chat}", "M105"])
                    await asyncio.sleep(0.05)
            if not life.over:
                return host.jobs.state
    raise AssertionError("the last host lives for ever")


def check(world, state: JobState | None) -> None:
    """Check the lines of a print that ended in a state; None: a killed host had ended it, or never began it."""
    printed = moves_of(world)
    assert printed == MOVES[: len(printed)], "never twice, never a gap"
    chat = said_by(world, "chat")
    assert len(chat) == len(set(chat))
    if state is JobState.COMPLETED:
        assert printed == MOVES
        assert said_by(world, "start") == list(SCRIPTS.before_start)
        assert said_by(world, "finish") == list(SCRIPTS.after_finish)
    else:
        assert state in (JobState.INTERRUPTED, None)


async def test_a_print_continues_where_the_killed_host_left_it(tmp_path):
    world = World(tmp_path)
    state = await print_on(world, HostLife(bytes_left=900), HostLife(bytes_left=500), HostLife(bytes_left=7))
    assert state is JobState.COMPLETED
    check(world, state)
    assert world.outcomes[-1][1] == "COMPLETED"


@settings(max_examples=FEW, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kills=st.lists(st.integers(0, 2500), min_size=1, max_size=4),
    snapshots=st.integers(0, 60),
    pause_at=st.sampled_from([None, 0, 10, 40]),
    park=st.sampled_from(["none", "corner"]),
)
def test_a_print_survives_a_kill_at_any_byte_of_any_phase(tmp_path_factory, kills, snapshots, pause_at, park):
    async def main() -> None:
        world = World(tmp_path_factory.mktemp("world"), pause=PauseConfig(park=park))
        lives = [HostLife(bytes_left=left) for left in kills]
        lives.append(HostLife(snapshots_left=snapshots))
        check(world, await print_on(world, *lives, pause_at=pause_at))

    run(main())


@settings(max_examples=FEW, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kills=st.lists(st.integers(0, 4000), min_size=1, max_size=4),
    damage=st.sampled_from([0, 97, 211, 499]),
    window=st.sampled_from([1, 4]),
    compact=st.sampled_from(["auto", "off"]),
    firmware=st.sampled_from([None, "marlin21-meatpack", "prusa"]),
)
def test_a_print_survives_a_kill_during_resends_and_commands_of_clients(
    tmp_path_factory, kills, damage, window, compact, firmware
):
    async def main() -> None:
        # more than one line in flight would leave cut tails behind a bad one, see docs/link.md
        unpacks = replace(FIRMWARES[firmware], noise=0.0) if firmware else None
        damaged = damage if unpacks is None else 0  # of damaged packed lines some pass: see test_link_packed
        folder = tmp_path_factory.mktemp("world")
        world = World(folder, unpacks, window=1 if damaged else window, compact=compact)
        check(world, await print_on(world, *(HostLife(bytes_left=left, damage=damaged) for left in kills), chatty=True))

    run(main())


@settings(max_examples=FEW, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kills=st.lists(st.integers(0, 260), min_size=2, max_size=12),
    in_print=st.booleans(),
    window=st.sampled_from([1, 4]),
)
def test_a_print_survives_a_kill_around_the_restart_of_numbers(tmp_path_factory, kills, in_print, window):
    async def main() -> None:
        world = World(tmp_path_factory.mktemp("world"), window=window)
        with pytest.MonkeyPatch.context() as patched:
            if in_print:  # otherwise they restart with the job
                patched.setattr(flight, "RENUMBER_ABOVE", MAX_WIRE_NUMBER)
            lives = [HostLife(bytes_left=left) for left in (1000, *kills)]
            state = await print_on(world, *lives, chatty=True, from_line=MAX_WIRE_NUMBER - 14)
        assert state is JobState.COMPLETED
        check(world, state)
        assert world.firmware._receiver.last_number < MAX_WIRE_NUMBER

    run(main())


async def test_a_paused_job_stays_paused(tmp_path):
    world = World(tmp_path, pause=PauseConfig(park="corner"))
    async with world.host() as host:
        host.jobs.select(world.write(["G28", *MOVES]))
        host.jobs.start()
        await until_state(host, JobState.PRINTING)
        await asyncio.sleep(3)
        host.jobs.pause()
        await until_state(host, JobState.PAUSED)
    async with world.host() as host:
        assert host.jobs.state is JobState.REATTACHING
        assert host.jobs.selected.name == "part.gcode"
        await until_state(host, JobState.PAUSED)
        await asyncio.sleep(60)
        assert host.jobs.state is JobState.PAUSED
        host.jobs.resume()
        await until_state(host, JobState.COMPLETED)
    assert moves_of(world) == MOVES
    assert said_by(world, "pause") == list(SCRIPTS.after_pause)
    assert said_by(world, "resume") == list(SCRIPTS.before_resume)


@pytest.mark.parametrize("command", ["pause", "cancel"])
async def test_requests_while_reattaching_are_carried_out_afterwards(tmp_path, command):
    world = World(tmp_path)
    async with world.host() as host:
        host.jobs.select(world.write(["M104 S200", *MOVES]))
        host.jobs.start()
        await asyncio.sleep(4)
    async with world.host() as host:
        getattr(host.jobs, command)()
        await until_state(host, JobState.PAUSED if command == "pause" else JobState.CANCELLED)
        hot = world.firmware.board.hotend.target
        assert hot == (200 if command == "pause" else 0)
    printed = moves_of(world)
    assert 0 < len(printed) < len(MOVES)
    assert printed == MOVES[: len(printed)]


async def interrupted(world, meanwhile) -> str:
    """Kill a host in the middle, do something, and return the reason why the next one does not continue."""
    async with world.host() as host:
        host.jobs.select(world.write(["M104 S200", *MOVES]))
        host.jobs.start()
        await asyncio.sleep(4)
        assert host.jobs.state is JobState.PRINTING
    meanwhile()
    async with world.host() as host:
        await until_state(host, JobState.INTERRUPTED)
        printed = len(moves_of(world))
        await asyncio.sleep(60)
        assert host.connection.ready
        assert world.firmware.board.hotend.target == 0
        assert len(moves_of(world)) == printed
        return host.jobs.error


async def test_a_host_does_not_reattach_to_a_board_that_was_reset(tmp_path):
    world = World(tmp_path)
    reason = await interrupted(world, lambda: world.firmware.reset(world.clock.now))
    assert "restarted" in reason or "was reset" in reason


async def test_another_boot_of_the_machine_ends_the_print(tmp_path):
    world = World(tmp_path)
    async with world.host() as host:
        host.jobs.select(world.write(MOVES))
        host.jobs.start()
        await asyncio.sleep(4)
    world.boot = "another"
    async with world.host() as host:
        assert not host.jobs.active


async def test_a_host_does_not_continue_a_modified_file(tmp_path):
    world = World(tmp_path)

    def append() -> None:
        with (tmp_path / "uploads" / "part.gcode").open("a") as file:
            file.write("M112")

    reason = await interrupted(world, append)
    assert "the file has been changed" in reason


async def test_a_replaced_file_is_printed_as_it_was(tmp_path):
    world = World(tmp_path)
    async with world.host() as host:
        host.jobs.select(world.write(MOVES))
        host.jobs.start()
        await asyncio.sleep(4)
    (tmp_path / "uploads" / "part.gcode").unlink()
    world.write(["M117 another file"])
    async with world.host() as host:
        await until_state(host, JobState.COMPLETED)
    assert moves_of(world) == MOVES


async def test_a_host_reattaches_when_its_cable_is_back(tmp_path):
    world = World(tmp_path)
    async with world.host() as host:
        host.jobs.select(world.write(MOVES))
        host.jobs.start()
        await asyncio.sleep(4)
        host.connection.printer._transport.unplug()
        await until_state(host, JobState.REATTACHING)
        await until_state(host, JobState.COMPLETED)
    assert moves_of(world) == MOVES
    assert said_by(world, "start") == list(SCRIPTS.before_start)


def chosen_by_a_client(world: World) -> None:
    """Configure no printer, so that nozzled does not reconnect this one."""
    world.config = replace(world.config, printer=replace(world.config.printer, address=""))


@pytest.mark.parametrize("configured", [True, False])
async def test_a_cable_that_stays_away_ends_the_print(tmp_path, configured):
    world = World(tmp_path)
    if not configured:
        chosen_by_a_client(world)
    async with world.host() as host:
        host.jobs.select(world.write(["M104 S200", *MOVES]))
        host.jobs.start()
        await asyncio.sleep(4)
        world.firmware.plugged_at = world.clock.now + 100
        host.connection.printer._transport.unplug()
        await until_state(host, JobState.REATTACHING)
        await until_state(host, JobState.INTERRUPTED)
        assert "cable is pulled" in host.jobs.error
        assert world.firmware.board.hotend.target == 200
        await asyncio.sleep(120)
        assert world.firmware.board.hotend.target == 0


async def test_a_printer_left_hot_by_a_client_gets_heaters_off_after_a_reboot(tmp_path):
    world = World(tmp_path)
    chosen_by_a_client(world)
    world.disk = MortalDisk(tmp_path)
    async with world.host() as host:
        host.jobs.select(world.write(["M104 S200", *MOVES]))
        host.jobs.start()
        await asyncio.sleep(4)
    assert world.firmware.board.hotend.target == 200
    world.boot, world.client_connects, world.reset_on_open = "another", False, False
    world.firmware.plugged_at = world.clock.now + 100
    async with world.host() as host:
        assert not host.jobs.active
        await asyncio.sleep(120)
        assert world.firmware.board.hotend.target == 0


def alter(path) -> None:
    """Change one character; what identifies the file (its size, its date) stays."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"1")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns


async def kill_in_a_print(world) -> None:
    """Have a host die in the middle of a file whose hash is known."""
    async with world.host() as host:
        selection = world.write(["M104 S200", *MOVES, *WAITS])
        path = world.folder / "uploads" / "part.gcode"
        sha1 = hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
        host.jobs.select(replace(selection, mtime_ns=path.stat().st_mtime_ns, sha1=sha1))
        host.jobs.start()
        await asyncio.sleep(4)
        assert host.jobs.state is JobState.PRINTING
        assert host.records.jobs[0].sha1 == sha1


async def test_a_file_with_changed_bytes_ends_the_print_once_detected(tmp_path):
    world = World(tmp_path)
    await kill_in_a_print(world)
    alter(tmp_path / "uploads" / "part.gcode")
    async with world.host() as host:
        await until_state(host, JobState.PRINTING, JobState.INTERRUPTED)
        assert host.jobs.state is JobState.PRINTING, "reading it takes its time, and the printer need not wait"
        await until_state(host, JobState.INTERRUPTED, JobState.COMPLETED)
        assert host.jobs.error == "part.gcode is not what was uploaded: check the disk"
        await asyncio.sleep(10)
        assert world.firmware.board.hotend.target == 0
        assert host.connection.ready
    printed = moves_of(world)
    assert printed == MOVES[: len(printed)]
    assert world.outcomes[-1][1] == "INTERRUPTED"


async def test_an_unchanged_file_is_printed_completely(tmp_path, capsys):
    world = World(tmp_path)
    await kill_in_a_print(world)
    async with world.host() as host:
        await until_state(host, JobState.COMPLETED, JobState.INTERRUPTED)
        assert host.jobs.state is JobState.COMPLETED
    assert moves_of(world) == MOVES
    assert "job.file_checked" in capsys.readouterr().out


@pytest.mark.threads
async def test_the_hash_is_computed_slowly_in_the_reading_thread(tmp_path):
    content = bytes(range(256)) * 4096  # 1 MiB
    (tmp_path / "file").write_bytes(content)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    loop, threads = asyncio.get_running_loop(), []

    class Noting(InlineExecutor):
        def submit(self, work, /, *args):
            threads.append(loop.time())
            return super().submit(work, *args)

    try:
        assert await sha1_of(fd, Noting()) == hashlib.sha1(content, usedforsecurity=False).hexdigest()
    finally:
        os.close(fd)
    assert len(threads) == 9
    assert threads[-1] - threads[0] == pytest.approx(8 * READ_INTERVAL)


async def test_a_file_unreadable_for_its_hash_ends_nothing(tmp_path, capsys, monkeypatch):
    world = World(tmp_path)
    await kill_in_a_print(world)

    def broken(*_args):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(file_check, "_add", broken)
    async with world.host() as host:
        await until_state(host, JobState.COMPLETED, JobState.INTERRUPTED)
        assert host.jobs.state is JobState.COMPLETED
    assert "job.file_unchecked" in capsys.readouterr().out


@pytest.mark.parametrize("resumed", ["before", "meanwhile"])
async def test_the_next_host_waits_for_heat_that_the_firmware_turned_off_in_a_pause(tmp_path, resumed):
    idle = FirmwareConfig(noise=0.0, hotend_idle_timeout=True, autoreport=resumed == "before")
    world = World(tmp_path, idle, pause=PauseConfig(park="corner"))
    heater = world.firmware.board.hotend
    async with world.host() as host:
        await host.connection.commands.send(["M86 S300 T180 E0 B0"])
        host.jobs.select(world.write(["G28", "M109 S200", *MOVES]))
        host.jobs.start()
        async with asyncio.timeout(MAX_PRINT):
            while not moves_of(world):  # noqa: ASYNC110 - as a user looks at the printer
                await asyncio.sleep(0.1)
        host.jobs.pause()
        await until_state(host, JobState.PAUSED)
        await asyncio.sleep(20 * 60)
        assert heater.target == 0
        if resumed == "before":
            host.jobs.resume()
            await asyncio.sleep(5)
            assert host.jobs.state is JobState.RESUMING
            assert heater.target == 200
    async with world.host() as host:
        if resumed == "meanwhile":
            assert host.jobs.state is JobState.REATTACHING
            host.jobs.resume()
        await until_state(host, JobState.RESUMING)
        await until_state(host, JobState.PRINTING, JobState.COMPLETED)
        assert heater.temperature(world.clock.now) == pytest.approx(200, abs=3)
        await until_state(host, JobState.COMPLETED)
    assert moves_of(world) == MOVES


def of_0_1_0(snapshot):
    """Return a snapshot as 0.1.0 would have written it."""
    later = ("why", "gone_on", "version", "readers")
    chosen = {name: value for name, value in snapshot["selection"].items() if name not in ("mtime_ns", "sha1")}
    return {name: value for name, value in snapshot.items() if name not in later} | {"selection": chosen}


def of_the_future(snapshot):
    """Return a snapshot as a later version might write it."""
    file = snapshot["file"] | {"colour": "red"}
    return snapshot | {
        "version": 99,
        "colour": ["red"],
        "selection": snapshot["selection"] | {"colour": 1},
        "file": file,
    }


@pytest.mark.parametrize("alter", [of_0_1_0, of_the_future])
async def test_a_print_continues_from_a_snapshot_of_another_version(tmp_path, alter):
    world = World(tmp_path)
    async with world.host() as host:
        host.jobs.select(world.write(MOVES))
        host.jobs.start()
        await asyncio.sleep(4)
        assert host.jobs.state is JobState.PRINTING
    logbook = Logbook(tmp_path / "logbook")
    logbook.write(alter(logbook.read()))
    logbook.close()
    async with world.host() as host:
        assert host.jobs.active
        await until_state(host, JobState.COMPLETED)
    assert moves_of(world) == MOVES


@pytest.mark.parametrize(
    "alter",
    [
        lambda snapshot: snapshot | {"readers": 99},
        lambda snapshot: snapshot | {"file": {"path": 7}},
        lambda snapshot: snapshot | {"selection": {}},
        lambda _: UNREADABLE,
        lambda snapshot: snapshot | {"state": "DANCING"},
        lambda snapshot: snapshot | {"begun": ["M400"]},
        lambda snapshot: snapshot | {"address": "nowhere:"},
    ],
)
@pytest.mark.parametrize("recorded", [True, False])
async def test_an_unreadable_snapshot_ends_the_print_and_not_the_service(tmp_path, alter, recorded):
    world = World(tmp_path)
    world.disk = MortalDisk(tmp_path / "state") if recorded else None
    async with world.host() as host:
        host.jobs.select(world.write(["M104 S200", *MOVES]))
        host.jobs.start()
        await asyncio.sleep(4)
        assert host.jobs.state is JobState.PRINTING
    logbook = Logbook(tmp_path / "logbook")
    logbook.write(alter(logbook.read()))
    logbook.close()
    await asyncio.sleep(10)
    world.firmware.advance(world.clock.now)
    printed = len(moves_of(world))
    world.reset_on_open = False
    async with world.host() as host:
        async with asyncio.timeout(MAX_PRINT):
            while not host.connection.ready or host.jobs.active:  # noqa: ASYNC110 - as a client polls
                await asyncio.sleep(0.1)
        await asyncio.sleep(30)
        assert world.firmware.board.hotend.target == 0
        if recorded:
            assert host.jobs.state is JobState.INTERRUPTED
    assert len(moves_of(world)) == printed


async def test_a_print_whose_file_was_not_opened_yet_ends_with_that_reason(tmp_path):
    world = World(tmp_path)
    async with world.host() as host:
        host.jobs.select(world.write(MOVES))
        host.jobs.start()
        await asyncio.sleep(4)
    logbook = Logbook(tmp_path / "logbook")
    logbook.write(logbook.read() | {"file": {}, "state": "STARTING"})
    logbook.close()
    async with world.host() as host:
        await until_state(host, JobState.INTERRUPTED)
        assert host.jobs.error == "the print could not continue: the file had not been opened yet"


async def test_temperature_offsets_survive_a_host_killed_while_heating(tmp_path):
    world = World(tmp_path)
    world.config = replace(world.config, job=replace(world.config.job, heat_up="host"))
    heat = ["M109 S180", *MOVES, "M104 S190", *WAITS]
    async with world.host() as host:
        host.jobs.set_offset("tool0", 5)
        host.jobs.select(world.write(heat))
        host.jobs.start()
        await asyncio.sleep(20)
        assert world.firmware.board.hotend.target == 185
        assert not moves_of(world)
    async with world.host() as host:
        assert host.jobs.offsets == {"tool0": 5}
        async with asyncio.timeout(MAX_PRINT):
            while not moves_of(world):  # noqa: ASYNC110 - as a user looks at the printer
                await asyncio.sleep(0.1)
        assert world.firmware.board.hotend.temperature(world.clock.now) == pytest.approx(185, abs=2)
        async with asyncio.timeout(MAX_PRINT):
            while len(moves_of(world)) < len(MOVES):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.1)
        await asyncio.sleep(5)
        assert world.firmware.board.hotend.target == 195


async def die_at_the_end_of(world, lines) -> JobState:
    """Print, and die when the job has ended, before the store records it."""
    async with world.host(life := HostLife()) as host:
        host.jobs.subscribe(lambda state: life.end() if state.ended else None)
        host.jobs.select(world.write(lines))
        host.jobs.start()
        async with asyncio.timeout(MAX_PRINT):
            await life.dead.wait()
        return host.jobs.state


@pytest.mark.parametrize("boot", ["boot", "another"])
async def test_the_end_of_a_job_is_recorded_even_if_its_host_died_first(tmp_path, boot):
    world = World(tmp_path)
    world.disk = MortalDisk(tmp_path / "state")
    assert await die_at_the_end_of(world, MOVES) is JobState.COMPLETED
    world.boot, world.reset_on_open = boot, False
    for state in (JobState.COMPLETED, None):  # it is reported once
        async with world.host() as host:
            assert host.jobs.state is state
            assert host.jobs.error is None
            (record,) = await host.records.jobs(2)
            assert (record.outcome, record.reason, record.lines) == ("COMPLETED", None, len(MOVES))
            assert record.print_time > 1
            assert not any(line.command.startswith("M104 S0") for line in world.oracle.commands)
    assert moves_of(world) == MOVES


@pytest.mark.parametrize("recorded", [True, False])
async def test_the_next_host_turns_off_heaters_that_a_failed_job_left_on(tmp_path, recorded):
    world = World(tmp_path)
    world.disk = MortalDisk(tmp_path / "state")
    chosen_by_a_client(world)
    async with world.host(life := HostLife()) as host:
        host.jobs.subscribe(lambda state: life.end() if state.ended and not recorded else None)
        host.jobs.select(world.write(["M104 S200", *MOVES]))
        host.jobs.start()
        await asyncio.sleep(4)
        world.firmware.plugged_at = world.clock.now + 100
        host.connection.printer._transport.unplug()
        await until_state(host, JobState.INTERRUPTED)
        await asyncio.sleep(1)
        assert world.firmware.board.hotend.target == 200
    world.client_connects, world.reset_on_open = False, False
    async with world.host() as host:
        assert "cable is pulled" in (await host.records.jobs(1))[0].reason
        assert world.firmware.board.hotend.target == 200
        await asyncio.sleep(120)
        assert world.firmware.board.hotend.target == 0
        await host.connection.commands.send(["M104 S50"])
        await asyncio.sleep(5)
    async with world.host() as host:
        assert not host.connection.ready, "nothing is due"
        assert world.firmware.board.hotend.target == 50


async def cancel_and_die(world, at: int, left: int) -> None:
    """Begin to print, cancel after so many lines, and die so many bytes later."""
    async with world.host(life := HostLife()) as host:
        host.jobs.select(world.write(["M140 S60", "M104 S200", *MOVES]))
        host.jobs.start()
        async with asyncio.timeout(MAX_PRINT):
            while len(moves_of(world)) < at:  # noqa: ASYNC110 - as a user looks at the printer
                await asyncio.sleep(0.02)
        life.bytes_left = left
        host.jobs.cancel()
        await until_state(host, JobState.CANCELLED)


@settings(max_examples=FEW, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.integers(0, 50),
    left=st.integers(0, 250),
    kills=st.lists(st.integers(0, 300), max_size=3),
)
def test_a_cancel_is_completed_with_heaters_off_although_hosts_are_killed_in_it(tmp_path_factory, at, left, kills):
    async def main() -> None:
        world = World(tmp_path_factory.mktemp("world"))
        await cancel_and_die(world, at, left)
        for life in (*(HostLife(bytes_left=kill) for kill in kills), HostLife()):
            async with world.host(life) as host:
                await until_state(host, JobState.CANCELLED, JobState.INTERRUPTED, None)
                if not life.over:
                    await asyncio.sleep(30)
        world.firmware.advance(world.clock.now)
        board = world.firmware.board
        assert board.hotend.target == board.bed.target == 0
        printed = moves_of(world)
        assert printed == MOVES[: len(printed)]
        assert len(printed) < len(MOVES)
        assert len(said_by(world, "cancel")) <= 1

    run(main())


PRINT = ["M104 S200", *MOVES, *WAITS]


async def begin_to_print(world, host, lines=PRINT) -> None:
    """Begin to print; return in the middle of the moves."""
    host.jobs.select(world.write(lines))
    host.jobs.start()
    async with asyncio.timeout(MAX_PRINT):
        while len(moves_of(world)) < 5:  # noqa: ASYNC110 - as a user looks at the printer
            await asyncio.sleep(0.1)
    assert host.jobs.state is JobState.PRINTING


def pull_the_cable(world, host, seconds: float) -> None:
    world.firmware.plugged_at = world.clock.now + seconds
    host.connection.printer._transport.unplug()


@pytest.mark.parametrize("request_name", ["disconnect", "connect"])
async def test_a_client_that_disconnects_or_connects_ends_a_job_that_reattaches(tmp_path, request_name):
    world = World(tmp_path)
    world.config = replace(world.config, printer=replace(world.config.printer, reattach_s=60.0))
    async with world.host() as host:
        await begin_to_print(world, host)
        pull_the_cable(world, host, 5)
        await until_state(host, JobState.REATTACHING)
        await asyncio.sleep(1)
        await getattr(host.connection, request_name)()
        await asyncio.sleep(0.1)
        assert host.jobs.state is JobState.INTERRUPTED
        assert host.jobs.error == "the print could not continue: the printer was disconnected"
        await asyncio.sleep(30)
        if request_name == "disconnect":
            await host.connection.connect()
            await asyncio.sleep(30)
        assert host.connection.ready
        world.firmware.advance(world.clock.now)
        assert world.firmware.board.hotend.target == 0


async def test_a_stop_turns_heaters_off_although_the_reattached_job_has_no_printer_yet(tmp_path):
    world = World(tmp_path, FirmwareConfig(noise=0.0))
    async with world.host() as host:
        await begin_to_print(world, host)
    async with world.host() as host:
        async with asyncio.timeout(MAX_PRINT):
            while not host.connection.ready:  # noqa: ASYNC110 - in this very turn of the loop
                await asyncio.sleep(0)
        assert host.jobs.runner.job.printer is not host.connection.printer
        assert world.firmware.board.hotend.target == 200
        await host.connection.disconnect()
        world.firmware.advance(world.clock.now)
        assert world.firmware.board.hotend.target == 0


async def test_each_command_of_a_pause_is_sent_once_wherever_its_host_is_killed(tmp_path):
    parking = ["G91", "M83", "G1 Z5 F600", "G90", "G1 X0 Y0 F6000"]
    for left in range(0, 300, 6):
        (tmp_path / f"{left}").mkdir()
        world = World(tmp_path / f"{left}", pause=PauseConfig(park="corner", park_x_mm=0, park_y_mm=0))
        async with world.host(life := HostLife()) as host:
            await begin_to_print(world, host, ["G28", *PRINT])
            sent, life.bytes_left = len(world.oracle.commands), left
            host.jobs.pause()
            await until_state(host, JobState.PAUSED)
        async with world.host() as host:
            await until_state(host, JobState.PAUSED)
            commands = [each.command for each in world.oracle.commands][sent:]
            assert [each for each in commands if each in parking][: len(parking)] == parking, left
            assert commands.count("G1 Z5 F600") == 1, left
            assert said_by(world, "pause") == list(SCRIPTS.after_pause), left


async def test_a_connection_lost_again_while_the_file_is_opened_ends_nothing(tmp_path, monkeypatch):
    world = World(tmp_path)
    async with world.host() as host:
        await begin_to_print(world, host)
        pull_the_cable(world, host, 2)
        await until_state(host, JobState.REATTACHING)
        find, found = host.jobs._effects._run_in_thread, []

        async def slowly(*work):
            if not found:
                found.append(host.connection.ready)
                pull_the_cable(world, host, 2)
                await asyncio.sleep(0.5)  # the disk
            return await find(*work)

        monkeypatch.setattr(host.jobs._effects, "_run_in_thread", slowly)
        await until_state(host, JobState.COMPLETED, JobState.INTERRUPTED)
        assert found == [True]
        assert host.jobs.state is JobState.COMPLETED
    assert moves_of(world) == MOVES


async def test_losses_between_which_the_print_goes_on_are_not_added_up(tmp_path, monkeypatch):
    world = World(tmp_path)
    lines = ["G28", *["G1 X1 F6000", "G1 X2 F6000", "G4 S2"] * 60]
    async with world.host() as host:
        host.jobs.select(world.write(lines))
        host.jobs.start()
        find, finds = host.jobs._effects._run_in_thread, []

        async def find_the_second_time(*work):
            finds.append(work)
            if len(finds) % 2:
                pull_the_cable(world, host, 1)
                await asyncio.sleep(0.5)  # the disk
            return await find(*work)

        for _ in range(MAX_LOSSES + 2):
            await until_state(host, JobState.PRINTING)
            await asyncio.sleep(5)
            monkeypatch.setattr(host.jobs._effects, "_run_in_thread", find_the_second_time)
            pull_the_cable(world, host, 1)
            await until_state(host, JobState.REATTACHING)
        await until_over(host)
        assert host.jobs.state is JobState.COMPLETED, host.jobs.error
    assert len(finds) > 2 * (MAX_LOSSES + 1)
    assert [each.command for each in world.oracle.commands if each.command in lines] == lines


@pytest.mark.parametrize("pulls", [1, 3])
async def test_a_connection_lost_again_in_the_handshake_ends_nothing(tmp_path, pulls):
    """The commands of each attempt take line numbers, which the next attempt has to know."""
    world = World(tmp_path)
    async with world.host() as host:
        await begin_to_print(world, host)
        pull_the_cable(world, host, 2)
        await until_state(host, JobState.REATTACHING)
        left = [*range(pulls)]

        def pull_at_once(event):
            if isinstance(event, StateChanged) and event.new is ConnectionState.READY and left:
                left.pop()
                pull_the_cable(world, host, 1)

        host.connection.subscribe(pull_at_once)
        await until_state(host, JobState.COMPLETED, JobState.INTERRUPTED)
        assert host.jobs.state is JobState.COMPLETED, host.jobs.error
    assert not left
    assert moves_of(world) == MOVES
    assert [each.command for each in world.oracle.commands].count("G4 S1") == len(WAITS)


@pytest.mark.parametrize("turns", range(6))
async def test_an_emergency_stop_as_the_printer_is_back_ends_the_print(tmp_path, turns):
    world = World(tmp_path)
    async with world.host(life := HostLife()) as host:
        await begin_to_print(world, host)
        pull_the_cable(world, host, 2)
        await until_state(host, JobState.REATTACHING)
        back = asyncio.Event()
        host.connection.subscribe(lambda _: back.set() if host.connection.ready else None)
        await back.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        opened = len(life.transports)
        host.connection.emergency_stop()
        await asyncio.sleep(30)
        assert host.jobs.error.endswith("emergency stop")
        assert host.connection.stop_confirmed
        assert len(life.transports) == opened, "it does not reattach"


async def test_heaters_that_a_failed_job_has_turned_off_are_not_due_after_its_script(tmp_path):
    world = World(tmp_path)
    world.disk = MortalDisk(tmp_path / "state")
    world.config = replace(world.config, scripts=replace(SCRIPTS, after_failure=("M117 failed",)))
    async with world.host() as host:
        host.jobs.select(replace(world.write(PRINT), path="gone.gcode"))
        host.jobs.start()
        await until_state(host, JobState.FAILED)
        await asyncio.sleep(10)
        assert said_by(world, "failed") == ["M117 failed"]
        await host.connection.commands.send(["M104 S50"])
        await asyncio.sleep(5)
    world.reset_on_open = False
    async with world.host() as host:
        await asyncio.sleep(30)
        assert host.connection.ready
        assert world.firmware.board.hotend.target == 50, "a user has heated since"


async def test_a_step_of_the_job_before_does_not_count_as_done(tmp_path, monkeypatch):
    world = World(tmp_path)
    async with world.host(life := HostLife()) as host:
        host.jobs.select(world.write(MOVES[:3]))
        host.jobs.start()
        await until_state(host, JobState.COMPLETED)
        write = host.connection.logbook.write

        def write_and_die(snapshot):
            write(snapshot)
            if snapshot.get("begun"):
                life.end()  # before the frame is in the ring
            return True

        monkeypatch.setattr(host.connection.logbook, "write", write_and_die)
        host.jobs.start()
        async with asyncio.timeout(MAX_PRINT):
            await life.dead.wait()
    async with world.host() as host:
        await until_state(host, JobState.COMPLETED)
    assert said_by(world, "start") == 2 * list(SCRIPTS.before_start)


async def test_a_long_answer_does_not_keep_a_print_from_surviving(tmp_path):
    world = World(tmp_path)
    world.config = replace(world.config, scripts=replace(SCRIPTS, after_pause=(*["M503"] * 20, "G4 S60")))
    async with world.host() as host:
        await begin_to_print(world, host)
        host.jobs.pause()
        await asyncio.sleep(30)
        assert host.jobs.state is JobState.PAUSING
    logbook = Logbook(tmp_path / "logbook")
    assert len(str(logbook.read())) < 4000
    logbook.close()
    async with world.host() as host:
        await until_state(host, JobState.PAUSED)
        host.jobs.resume()
        await until_state(host, JobState.COMPLETED)
    assert moves_of(world) == MOVES


async def test_a_connection_that_is_lost_again_during_a_long_command_has_the_whole_time_to_come_back(tmp_path):
    world = World(tmp_path)
    lines = ["G28", "G1 X1 F6000", "G4 S40", "G1 X2 F6000"]
    async with world.host() as host:
        host.jobs.select(world.write(lines))
        host.jobs.start()
        await until_state(host, JobState.PRINTING)
        await asyncio.sleep(10)
        for seconds_to_come_back in (1, 4):  # the printer reads nothing of the handshake in its dwell
            world.firmware.plugged_at = world.clock.now + seconds_to_come_back
            host.connection.printer._transport.unplug()
            await until_state(host, JobState.REATTACHING)
            await asyncio.sleep(world.config.printer.reattach_s + 2)
        await until_over(host)
        assert host.jobs.state is JobState.COMPLETED, host.jobs.error
    assert [each.command for each in world.oracle.commands if each.command in lines] == lines


async def test_a_plug_that_is_loose_for_ever_ends_the_print(tmp_path):
    world = World(tmp_path)
    async with world.host() as host:
        host.jobs.select(world.write(["G28", "G1 X1 F6000", "G4 S3600", "G1 X2 F6000"]))
        host.jobs.start()
        await until_state(host, JobState.PRINTING)
        await asyncio.sleep(10)
        for _ in range(30):
            world.firmware.plugged_at = world.clock.now + 1
            host.connection.printer._transport.unplug()
            await asyncio.sleep(5)
        assert host.jobs.state is JobState.INTERRUPTED


async def test_the_script_before_a_print_keeps_its_heat_if_the_printer_falls_silent(tmp_path):
    """Heaters off would arrive late, and the print would continue cold."""
    world = World(tmp_path)
    world.config = replace(world.config, scripts=ScriptsConfig(before_start=("M104 S200", "G4 S20")))
    async with world.host() as host:
        host.jobs.select(world.write(MOVES))
        host.jobs.start()
        await asyncio.sleep(5)
        assert host.jobs.state is JobState.STARTING
        host.connection.printer._fail(PrinterSilent("no answer"))
        assert host.jobs.state is JobState.REATTACHING
        await until_over(host)
        assert host.jobs.state is JobState.COMPLETED
        assert world.firmware.board.hotend.target == 200


async def test_a_paused_print_that_was_reattached_keeps_its_heat_if_the_printer_falls_silent(tmp_path):
    """On the new connection no line has been fed yet."""
    world = World(tmp_path)
    async with world.host() as host:
        host.jobs.select(world.write(["M104 S200", *MOVES[:10], "M0", *MOVES[10:]]))
        host.jobs.start()
        await until_state(host, JobState.PAUSED)
        world.firmware.plugged_at = world.clock.now + 1
        host.connection.printer._transport.unplug()
        await until_state(host, JobState.REATTACHING)
        await until_state(host, JobState.PAUSED)
        await asyncio.sleep(world.config.printer.reattach_s + 5)
        host.connection.printer._fail(PrinterSilent("no answer"))
        assert host.jobs.state is JobState.REATTACHING
        await until_state(host, JobState.PAUSED)
        await asyncio.sleep(1)
        assert world.firmware.board.hotend.target == 200
