"""The CPU time that a front costs the core when it asks as fast as it can."""

import asyncio
import random
import subprocess
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from daemon.bridge import questions as ask
from daemon.bridge.core_end import CoreEnd, socket_pair
from daemon.bridge.frames import frame
from daemon.bridge.messages import encode
from daemon.bridge.words import Selection
from daemon.core.core import begin_core
from daemon.core.desk import Desk
from support.bridge import question_message
from support.http import config

pytestmark = [pytest.mark.real_time, pytest.mark.nightly]  # it measures a machine, and wants it quiet

FLOOD = """
import socket, sys, threading
bridge, data = socket.socket(fileno=int(sys.argv[1])), open(sys.argv[2], "rb").read()
def read():
    try:
        while bridge.recv(1 << 20): pass
    except OSError: pass
threading.Thread(target=read, daemon=True).start()
try:
    while True: bridge.sendall(data)
except OSError: pass
"""
TURN = 0.005  # s of the processor's time in one turn of the loop; 3 ms where nothing else runs
SHARE = 0.1  # of the processor that a front may take
TOLERANCE = 3  # what is not counted: the selector, threads that wait for each other, the printer that is simulated here
MEASUREMENT_S = 0.7  # s


class Turns:
    """Measures the turns of a loop by the time that its thread has had."""

    def __init__(self, loop):
        self.longest = 0.0
        self._began = time.thread_time()
        select = loop._selector.select

        def measured(timeout):
            self.longest = max(self.longest, time.thread_time() - self._began)
            events = select(timeout)
            self._began = time.thread_time()
            return events

        loop._selector.select = measured


@asynccontextmanager
async def flooded(desk, data, folder):
    """Send all these questions to the core repeatedly."""
    end = CoreEnd(desk)
    ours, theirs = socket_pair()
    await end.serve(ours)
    (folder / "data").write_bytes(data)
    command = [sys.executable, "-S", "-c", FLOOD, str(theirs.fileno()), str(folder / "data")]
    flood = subprocess.Popen(command, pass_fds=[theirs.fileno()])  # noqa: ASYNC220 - it starts at once
    theirs.close()
    try:
        await asyncio.sleep(0.3)
        yield end
    finally:
        end.close()
        await asyncio.sleep(0.05)
        flood.kill()
        flood.wait()


HEAT = "M104 S{190+" + "1+" * 30 + "1}"
KINDS = {
    "all": [
        ask.Start(), ask.Select(file=Selection("part.gcode", "part.gcode", 1, 2)), ask.AskConversation(since=0.0),
        ask.SetOffset(heater="bed", offset=1.0), ask.ListPorts(), ask.AskLimits(), ask.UsePreset(preset="nobody"),
        ask.AskStatistics(path="part.gcode"), ask.AskHistories(), ask.Connect(port="foo:bar"), ask.Resume(),
        ask.Send(commands=["x"] * 20_000), ask.Send(commands=[HEAT] * 256), ask.AnswerPrompt(choice=0),
    ],
    "heat": [ask.Send(commands=[HEAT] * 256)],
    "cheap": [ask.Resume()],
}  # fmt: skip


def flood_of(questions):
    frames = [
        frame(encode(question_message(n, question))) for n, question in enumerate(questions * (64 // len(questions)))
    ]
    random.Random(1).shuffle(frames)  # any order, and the same each time
    return b"".join(frames)


async def share_of_the_processor():
    began, before = time.monotonic(), time.process_time()
    await asyncio.sleep(MEASUREMENT_S)
    return (time.process_time() - before) / (time.monotonic() - began)


async def test_a_front_that_floods_takes_a_tenth_of_the_core(tmp_path):
    async with AsyncExitStack() as stack:
        core = await begin_core(stack, config(tmp_path, "sim?speed=100"), {}, time.time)
        while not core.connection.ready:  # noqa: ASYNC110 - as clients do
            await asyncio.sleep(0.01)
        (tmp_path / "uploads").mkdir(exist_ok=True)
        (tmp_path / "uploads" / "part.gcode").write_text("".join(f"G1 X{n % 2 * 100} F600\n" for n in range(1000)))
        core.jobs.select(KINDS["all"][1].file)
        core.jobs.start()
        await asyncio.sleep(0.3)
        idle = await share_of_the_processor()
        turns, desk = Turns(asyncio.get_running_loop()), Desk(core)
        for kind, questions in KINDS.items():
            lines = core.connection.printer.counters.lines_acknowledged
            async with flooded(desk, flood_of(questions), tmp_path):
                turns.longest = 0.0
                share = await share_of_the_processor() - idle
                assert turns.longest < TURN, kind
                assert share < SHARE * TOLERANCE, kind
            assert core.jobs.active
            assert core.connection.printer.counters.lines_acknowledged > lines, kind
