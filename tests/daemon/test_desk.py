"""The core's answers to its front, over both forms of the bridge, and its refusals to a hostile one."""

import asyncio
import errno
import itertools
import math
import os
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from daemon.bridge import questions as ask
from daemon.bridge.core_end import CoreEnd
from daemon.bridge.desk import MAX_OPEN
from daemon.bridge.front_end import FrontEnd
from daemon.bridge.memory import MemoryChannel
from daemon.bridge.remote import RemoteCore
from daemon.bridge.words import FileMark, FileStatistics, JobState, PortOptions, Selection
from daemon.config import chosen_preset
from daemon.core.core import begin_core
from daemon.core.desk import Desk
from daemon.errors import BadFileName, ConfigError, CoreAway, FileError, JobConflict, PortNotAllowed, StorageFull
from gcode.errors import CommandError, ForbiddenCommand, NozzledError, QueueFull
from hal.errors import AddressError, NotConnected
from hal.printer import ConnectionState, Prompt
from support.bridge import connected
from support.http import config

PART = Selection("part.gcode", "part.gcode", 24, 1_700_000_000, "me", mtime_ns=5, sha1="a" * 40)


class CoreRig:
    def __init__(self, core, channel, folder):
        self.core, self.channel, self.folder = core, channel, folder
        self.ask = channel.ask
        self.remote = RemoteCore(channel)
        self.uploads = folder / "uploads"

    @property
    def accepted(self):
        return [each.command for each in self.core.connection.printer._transport._firmware.oracle.commands]

    async def print_until(self, selection, *states):
        await self.ask(ask.Select(file=selection))
        await self.ask(ask.Start())
        async with asyncio.timeout(100):
            while self.core.jobs.state not in states:  # noqa: ASYNC110 - as clients do
                await asyncio.sleep(0.05)
        await self.core.jobs.runner.wait_until_over()


@asynccontextmanager
async def core_rig(folder, form="memory", address="sim?oracle={}", **sections):
    async with AsyncExitStack() as stack:
        address = address.format(folder / "oracle")
        core = await begin_core(stack, config(folder, address, **sections), {}, lambda: 1_700_000_000.0)
        while address and not core.connection.ready:  # noqa: ASYNC110 - as clients do
            await asyncio.sleep(0.1)
        (folder / "uploads").mkdir(exist_ok=True)
        (folder / "uploads" / "part.gcode").write_text("G28\nG1 X10 F6000\nG1 X20\n")
        desk = Desk(core)
        if form == "memory":
            yield CoreRig(core, MemoryChannel(desk), folder)
            return
        end, front = CoreEnd(desk), FrontEnd()
        connected(end, front)
        await front.wait_for_snapshot()
        stack.push_async_callback(front.close)
        yield CoreRig(core, front, folder)


# -- both forms say the same -----------------------------------------------------------------------------------

TIMED = (
    "AskConversation",
    "AskTraffic",
    "AskHistory",
    "AskRecord",
    "AskConnectionFigures",
    "AskTally",
)  # a time, path or size differs
QUESTIONS = [
    ask.ListPorts(), ask.AskLimits(), ask.AskStatistics(path="part.gcode"), ask.AskHistories(),
    ask.AskConversation(since=math.inf), ask.Send(commands=["M117 hello"]), ask.Send(commands=["M105"] * 20),
    ask.Send(commands=["M110 N0"]), ask.Send(commands=[""]), ask.Send(commands=["M104 S900"]),
    ask.Send(commands=["M117 a\nM104 S900"]), ask.Send(commands=["M105"] * 300), ask.AnswerPrompt(choice=0),
    ask.AnswerPrompt(choice=-1), ask.Select(file=PART), ask.Select(file=None), ask.Start(), ask.Restart(), ask.Pause(),
    ask.Resume(), ask.Toggle(), ask.Cancel(), ask.SetOffset(heater="bed", offset=5.0),
    ask.SetOffset(heater="engine", offset=5.0), ask.UsePreset(preset=None), ask.UsePreset(preset="nothing of the kind"),
    ask.ChangeProfile(values={"name": "Cube", "extruders": 2}), ask.ChangeProfile(values={"width_mm": -1}),
    ask.ChangeProfile(values={"motion": "G28"}),
    ask.AskHistory(limit=5), ask.AskTraffic(since=math.inf), ask.AskConnectionFigures(), ask.AskTally(),
    ask.Connect(port="/dev/null"),
    ask.Connect(port="seril:x"),
    ask.AskRecord(after=0, limit=1000),
    ask.AskKey(key="none"), ask.AskKey(key="\N{SNOWMAN}"), ask.StartKeyed(file=PART, key="k" * 300, mark="m"),
    ask.StartKeyed(file=None, key="k", mark="m"), ask.StartKeyed(file=replace(PART, path="../x"), key="k", mark="m"),
    ask.Disconnect(),
]  # fmt: skip


async def ask_all(form, folder):
    """Ask every question, some of them twice, over this form of the bridge; return the outcomes."""
    async with core_rig(folder, form) as pair:
        first = [*QUESTIONS[:15], ask.Start(), ask.Pause(), ask.UsePreset(preset=None), ask.Cancel()]
        results = [await outcome(pair, question) for question in first]
        async with asyncio.timeout(100):
            while pair.core.jobs.active:  # noqa: ASYNC110 - as clients do
                await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        results += [await outcome(pair, question) for question in QUESTIONS[15:]]
    return results


async def outcome(pair, question):
    try:
        answer = await pair.ask(question)
    except NozzledError as error:
        return type(question).__name__, type(error).__name__, str(error)
    return type(question).__name__, replace(answer, ports=[]) if isinstance(answer, PortOptions) else answer


async def test_both_forms_of_the_bridge_give_the_same_answers(tmp_path):
    """Every question, with its answers and refusals."""
    (one := tmp_path / "one").mkdir()
    (other := tmp_path / "other").mkdir()
    in_memory = [row for row in await ask_all("memory", one) if row[0] not in TIMED]
    in_frames = [row for row in await ask_all("frames", other) if row[0] not in TIMED]
    assert in_frames == in_memory
    types = {type(question) for question in QUESTIONS}
    assert types == set(ask.AnyQuestion.__args__)
    assert ("AskStatistics", FileStatistics()) in in_memory
    assert sum(len(row) == 3 for row in in_memory) >= 12, "many of them are refused"


@pytest.mark.parametrize("form", ["memory", "frames"])
async def test_a_snapshot_shows_the_current_state(tmp_path, form):
    async with core_rig(tmp_path, form) as pair:
        await pair.ask(ask.Select(file=PART))
        await pair.ask(ask.Start())
        jobs = pair.remote.jobs
        assert jobs.state is JobState.STARTING, "the answer comes after its effect is visible"
        assert (jobs.active, jobs.selected, jobs.uses("part.gcode")) == (True, PART, True)
        assert pair.remote.connection.state is ConnectionState.READY
        assert pair.remote.connection.address.startswith("sim?oracle=")
        states = []
        jobs.subscribe(states.append)
        async with asyncio.timeout(100):
            while jobs.state is not JobState.COMPLETED:  # noqa: ASYNC110 - as clients do
                await asyncio.sleep(0.1)
        assert states == [JobState.PRINTING, JobState.FINISHING, JobState.COMPLETED]
        assert jobs.progress.completion == 100
        await pair.ask(ask.Disconnect())
        assert pair.remote.connection.state is ConnectionState.OFFLINE


async def test_long_lists_of_commands_stay_in_their_order(tmp_path):
    async with core_rig(tmp_path, "frames") as pair:
        lists = [[f"M117 {n}.{m}" for m in range(size)] for n, size in enumerate((60, 1, 40, 2, 50))]
        await asyncio.gather(*(pair.ask(ask.Send(commands=commands)) for commands in lists))
        await asyncio.sleep(20)
        assert [each for each in pair.accepted if each.startswith("M117")] == [*itertools.chain(*lists)]


async def test_a_record_that_answers_nothing_delays_no_stop_and_no_pause(tmp_path, monkeypatch):
    """A card that hangs for a minute leaves as many questions open as may be."""
    async with core_rig(tmp_path, "frames") as pair:
        monkeypatch.setattr(pair.core.store, "statistics", lambda _: asyncio.sleep(60))
        waiting = [asyncio.ensure_future(pair.ask(ask.AskStatistics(path="part.gcode"))) for _ in range(MAX_OPEN)]
        await asyncio.sleep(1)
        with pytest.raises(QueueFull, match="32 requests are not done yet"):
            await pair.ask(ask.AskHistory(limit=1))
        await pair.ask(ask.Select(file=PART))
        await pair.ask(ask.Start())
        await pair.ask(ask.Pause())
        assert pair.core.jobs.state in (JobState.PAUSING, JobState.STARTING)
        await pair.ask(ask.Send(commands=["M112"]))
        assert not pair.remote.connection.ready
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)


async def test_a_print_does_not_begin_after_its_client_has_given_up(tmp_path, monkeypatch):
    """A card that hangs for a minute: the user has been told that there was no answer, and may be at the printer."""
    async with core_rig(tmp_path, "frames") as pair:
        begin = ask.StartKeyed(file=PART, key="a", mark="m")
        claim = pair.core.store.claim_job

        async def slowly(job):
            await asyncio.sleep(60)
            return await claim(job)

        monkeypatch.setattr(pair.core.store, "claim_job", slowly)
        with pytest.raises(CoreAway, match="has not answered within 30 s"):
            await pair.ask(begin)
        await asyncio.sleep(60)
        assert (pair.core.jobs.state, await pair.ask(ask.AskKey(key="a"))) == (None, None)
        monkeypatch.setattr(pair.core.store, "claim_job", claim)
        assert not (await pair.ask(begin)).again, "the key is still unused"
        assert pair.core.jobs.state is JobState.STARTING


async def test_a_stop_waits_for_no_list(tmp_path):
    async with core_rig(tmp_path, "frames") as pair:
        async with pair.core.connection.commands._send_lock:  # a list is being checked
            sending = [asyncio.create_task(pair.ask(ask.Send(commands=["M105"] * 250))) for _ in range(3)]
            await asyncio.sleep(1)
            await pair.remote.connection.send(["M117 x"] * 300 + ["M112"])
            assert pair.core.connection.state is ConnectionState.FAULT
            assert not any(each.done() for each in sending)
        results = await asyncio.gather(*sending, return_exceptions=True)
        assert [type(each) for each in results] == [NotConnected] * 3


# -- a front that is not ours ------------------------------------------------------------------------------------

ELSEWHERE = [
    "../nozzled.db", "../../etc/passwd", "/etc/passwd", "", ".", "..", "a/../../nozzled.db", ".incoming/x.gcode",
    "a\0b", "a\nb.gcode", "x" * 2000, "//etc/passwd", "~root/.\u2028x",
]  # fmt: skip


@pytest.mark.parametrize("path", ELSEWHERE, ids=range(len(ELSEWHERE)))
async def test_no_file_outside_the_uploads_can_be_selected(tmp_path, path):
    async with core_rig(tmp_path, address="") as pair:
        with pytest.raises(BadFileName):
            await pair.ask(ask.Select(file=replace(PART, path=path)))
        with pytest.raises(BadFileName):
            await pair.ask(ask.AskStatistics(path=path))
        assert pair.core.jobs.selected is None


@pytest.mark.parametrize("mark", [FileMark("../x.gcode", 1, 1, 1), FileMark("x.gcode", 1, 1, -1)], ids=str)
async def test_an_impossible_checked_file_is_refused(tmp_path, mark):
    async with core_rig(tmp_path, address="") as pair:
        for question in (
            ask.Start(checked_file=mark),
            ask.Restart(checked_file=mark),
            ask.StartKeyed(file=PART, key="k", mark="m", checked_file=mark),
        ):
            with pytest.raises(BadFileName):
                await pair.ask(question)


BAD_FIELDS = [
    {"size": -1}, {"size": 2**63}, {"date": -(2**63)}, {"mtime_ns": 2**64 - 1}, {"name": "x" * 300},
    {"user": "x" * 300}, {"name": "a\rM104 S300"}, {"user": "\0"}, {"sha1": "x"}, {"sha1": "A" * 40},
]  # fmt: skip


@pytest.mark.parametrize("fields", BAD_FIELDS, ids=str)
async def test_impossible_file_details_are_refused(tmp_path, fields):
    async with core_rig(tmp_path, address="") as pair:
        with pytest.raises(BadFileName):
            await pair.ask(ask.Select(file=replace(PART, **fields)))


GOOD_FIELDS = [{"size": 0}, {"date": -1, "mtime_ns": -(10**9)}, {"user": None, "sha1": None}]


@pytest.mark.parametrize("fields", GOOD_FIELDS, ids=str)
async def test_unusual_file_details_are_accepted(tmp_path, fields):
    async with core_rig(tmp_path, address="") as pair:
        await pair.ask(ask.Select(file=replace(PART, **fields)))
        assert pair.core.jobs.selected == replace(PART, **fields)


def plant(uploads):
    """Make what a front could put among the uploads, as its user may write there; return what must not be printed."""
    secret = uploads.parent / "secret.gcode"
    secret.write_text("G1 X99 ; a secret\n")
    (uploads / "link.gcode").symlink_to(secret)
    (uploads / "up").symlink_to("..")
    (uploads / "device.gcode").symlink_to("/dev/zero")
    os.mkfifo(uploads / "pipe.gcode")
    (uploads / "folder.gcode").mkdir()
    (uploads / "inside.gcode").symlink_to("part.gcode")
    return ["link.gcode", "up/secret.gcode", "device.gcode", "pipe.gcode", "folder.gcode", "missing.gcode"]


async def test_links_out_of_the_uploads_and_pipes_are_not_printed(tmp_path):
    async with core_rig(tmp_path) as pair:
        for path in plant(pair.uploads):
            await pair.print_until(replace(PART, path=path), JobState.FAILED)
            assert "G1 X99" not in pair.accepted
            assert "secret" not in (pair.core.jobs.error or "").replace("secret.gcode", "")
        assert not [each for each in pair.accepted if each.startswith(("G28", "G1 X10"))]
        await pair.print_until(replace(PART, path="inside.gcode"), JobState.COMPLETED)
        assert "G1 X10 F6000" in pair.accepted, "a link to another upload is none of those"


async def test_more_heat_than_the_profile_allows_is_refused(tmp_path):
    async with core_rig(tmp_path, "frames") as pair:
        for command in ("M104 S999", "M140 S999", "M104 S{900+90}", "M109 S1e3", "G10 P0 S999"):
            with pytest.raises(CommandError, match="the profile allows"):
                await pair.ask(ask.Send(commands=["M105"] * 10 + [command]))
        for offset in (math.nan, math.inf, -math.inf, 51.0, -51.0, 1e300):
            with pytest.raises(CommandError):
                await pair.ask(ask.SetOffset(heater="tool0", offset=offset))
        for heater in ("", "tool", "tool100", "tool0\n", "x" * 60_000, "bed ", "B\u00e9d"):
            with pytest.raises(CommandError):
                await pair.ask(ask.SetOffset(heater=heater, offset=1.0))
        assert not pair.core.jobs.offsets
        (pair.uploads / "hot.gcode").write_text("G28\nM104 S999\n")
        await pair.print_until(replace(PART, path="hot.gcode"), JobState.FAILED)
        assert not [each for each in pair.accepted if "9" in each and each.startswith(("M104", "M140", "M109", "G10"))]


async def test_commands_of_the_link_and_hidden_commands_are_refused(tmp_path):
    async with core_rig(tmp_path) as pair:
        for command in ("M110 N5", "M28 x.g", "M999", "N5 M110*3"):
            with pytest.raises((ForbiddenCommand, CommandError)):
                await pair.ask(ask.Send(commands=[command]))
        for command in ("M105\nM104 S300", "M105\rM112", "", " ", ";", "x" * 16_385, "x" * 60_000):
            with pytest.raises(CommandError) as refused:
                await pair.ask(ask.Send(commands=["M105", command]))
            assert len(str(refused.value)) < 3000
        with pytest.raises(QueueFull, match="cannot queue 16000 commands"):
            await pair.ask(ask.Send(commands=["M1"] * 16_000))
        await pair.ask(ask.Send(commands=["M105\0"]))  # is left out of the line, as everywhere


async def test_only_offered_answers_to_a_prompt_are_accepted(tmp_path):
    async with core_rig(tmp_path) as pair:
        printer = pair.core.connection.printer
        printer._reports.panel.prompt = Prompt("Go on?", ("yes", "no"))
        for choice in (-1, 2, 10**12, -(10**12)):
            with pytest.raises(CommandError):
                await pair.ask(ask.AnswerPrompt(choice=choice))
        printer.answer_prompt = lambda _: asyncio.sleep(100)
        for _ in range(4):
            await pair.ask(ask.AnswerPrompt(choice=1))
        with pytest.raises(QueueFull):
            await pair.ask(ask.AnswerPrompt(choice=1))


async def test_impossible_presets_ports_and_baudrates_are_refused(tmp_path):
    async with core_rig(tmp_path, address="") as pair:
        for preset in ("x" * 300, "x" * 60_000, "../../etc/passwd", "\0"):
            with pytest.raises(ConfigError) as refused:
                await pair.ask(ask.UsePreset(preset=preset))
            assert len(str(refused.value)) < 300
        for port in (
            "x" * 2000,
            "/dev/tty\0S0",
            "sim?oracle=/tmp/x",
            "replay:/etc/passwd",
            "tcp:10.0.0.1:80",
            "/dev/../etc/passwd",
        ):
            with pytest.raises((PortNotAllowed, AddressError)):
                await pair.ask(ask.Connect(port=port))
        for baudrate in (-1, 2**63, 2**31):
            with pytest.raises((PortNotAllowed, AddressError)):
                await pair.ask(ask.Connect(port="/dev/null", baudrate=baudrate))
        assert pair.core.connection.state is ConnectionState.OFFLINE


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, StorageFull), (errno.EIO, FileError)])
async def test_a_preset_that_cannot_be_stored_is_not_used(tmp_path, monkeypatch, number, kind):
    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(chosen_preset, "save", full)
    async with core_rig(tmp_path, address="") as pair:
        before = pair.core.connection.profile
        with pytest.raises(kind, match="cannot be saved in the state directory"):
            await pair.ask(ask.UsePreset(preset="prusa-mk4"))
        assert pair.core.connection.profile == before


async def test_questions_about_the_system_are_limited_to_ten_a_second(tmp_path):
    async with core_rig(tmp_path, address="") as pair:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.gather(*(pair.ask(ask.ListPorts()) for _ in range(5)))
        assert loop.time() - began >= 4 * 0.099


async def test_an_answer_about_the_conversation_is_bounded(tmp_path):
    async with core_rig(tmp_path, "frames") as pair:
        ring = pair.core.connection.printer._pump.ring
        now = asyncio.get_running_loop().time()
        ring.extend((now, "<", b"x" * 4000 + b"\n") for _ in range(200))
        for since in (-1e308, 0.0, now - 1):
            talk = await pair.ask(ask.AskConversation(since=since))
            assert sum(map(len, talk.lines)) < 40_000
        assert (await pair.ask(ask.AskConversation(since=math.nan))).lines == []
        assert (await pair.ask(ask.AskConversation(since=1e308))).lines == []


async def test_refused_questions_do_not_disturb_a_print(tmp_path):
    async with core_rig(tmp_path, "frames") as pair:
        (pair.uploads / "part.gcode").write_text("".join(f"G1 X{n % 2 * 10} F6000\n" for n in range(100)))
        await pair.ask(ask.Select(file=PART))
        await pair.ask(ask.Start())
        await asyncio.sleep(1)
        for question in (ask.Select(file=PART), ask.Select(file=None), ask.Start(), ask.UsePreset(preset=None)):
            with pytest.raises(JobConflict):
                await pair.ask(question)
        assert pair.core.jobs.state is JobState.PRINTING


async def test_a_very_long_command_delays_nothing_and_is_still_checked(tmp_path, monkeypatch):
    """Klipper's commands may have 16 KiB, and one that heats by a list takes a tenth of a second to check."""
    async with core_rig(tmp_path, "frames") as pair:
        printer, loop = pair.core.connection.printer, asyncio.get_running_loop()
        printer.check = lambda command: command.encode()
        sent = []
        printer.submit = lambda *commands: sent.extend(commands)
        with pytest.raises(CommandError, match="the profile allows"):
            await pair.ask(ask.Send(commands=["M104 S{1:" + "1:" * 5000 + "999}"]))
        polygon = "EXCLUDE_OBJECT_DEFINE NAME=a POLYGON=" + "[1,2]," * 1000
        check, in_thread = pair.core.connection.commands.refuse_too_hot, {}

        def slow(command):
            in_thread[command] = asyncio.current_task() is None  # none of the core's tasks: work for a thread
            loop.advance(0.1)
            check(command)

        monkeypatch.setattr(pair.core.connection.commands, "refuse_too_hot", slow)
        began = loop.time()
        await asyncio.gather(*(pair.ask(ask.Send(commands=each)) for each in ([polygon], ["M117 b"])))
        assert sent == [polygon.encode(), b"M117 b"]
        assert in_thread == {polygon.encode(): True, b"M117 b": False}
        assert loop.time() - began == pytest.approx(10 * 0.1 + 0.1), "a thread checks for a tenth of the time"
