"""Commands that end a wait are sent at once, past a full window and a queue."""

import pytest

from daemon.bridge.words import JobState as S
from support.fake_firmware import MARLIN, FakeFirmware, cap, rig
from support.fake_printers import Repetier

URGENT = ["M108", "M410", "M876 S1", "M112"]


class Parser(FakeFirmware):
    m115 = (MARLIN, *cap(EMERGENCY_PARSER=1, AUTOREPORT_TEMP=0))
    heat_rate = 0.5

    def on(self, number, command, raw):
        if command.startswith(("G1", "G29", "M0")):
            return self._busy(30.0)
        return None

    def _busy(self, seconds):
        for _ in range(int(seconds / 2)):
            yield 2.0
            yield "echo:busy: processing"
        yield "ok"


@pytest.mark.parametrize("command", URGENT)
@pytest.mark.parametrize("waiting", [0, 20])
@pytest.mark.parametrize("printing", [False, True])
async def test_commands_that_end_a_wait_are_sent_at_once(tmp_path, command, waiting, printing):
    async with rig(tmp_path, Parser) as host:
        if printing:
            await host.print("G1 X1\n" * 100)
            await host.until(lambda: host.firmware.arrival_times("G1"))
            await host.sleep(1)
        await host.gcode(*(["G1 X9"] * (waiting + 8)))
        await host.sleep(1)
        began = host.now
        assert (await host.gcode(command)).status == 204
        await host.sleep(0.2)
        assert min(host.firmware.arrival_times(command, began)) - began < 0.1


async def test_m108_ends_a_clients_wait_for_heat(tmp_path):
    class Heats(Parser):
        emergency_parser = True

    async with rig(tmp_path, Heats) as host:
        await host.gcode("M109 S200")
        await host.gcode(*["M117 waiting"] * 10)
        await host.sleep(5)
        await host.gcode("M108")
        await host.until(lambda: host.firmware.executed.count("M117 waiting") == 10, 5)


async def test_an_answer_to_a_prompt_overtakes_everything(tmp_path):
    class Prompts(FakeFirmware):
        m115 = (MARLIN, *cap(HOST_ACTION_COMMANDS=1, PROMPT_SUPPORT=1, EMERGENCY_PARSER=1))

        def transfer(self, raw):
            return None if raw.startswith("M876") else raw

        def on(self, number, command, raw):
            return self._ask() if command.startswith("M600") else None

        def _ask(self):
            yield "//action:prompt_begin Nozzle parked"
            yield "//action:prompt_button Continue"
            yield "//action:prompt_show"
            while not self.arrival_times("M876"):
                yield 0.5
                yield "echo:busy: paused for user"
            yield "ok"

    async with rig(tmp_path, Prompts) as host:
        await host.print("G28\nM600\nG28\n")
        await host.until(lambda: host.firmware.arrival_times("M600"))
        await host.sleep(3)
        answer = await host.api.post("/api/plugin/action_command_prompt", {"command": "select", "choice": 0})
        assert answer.status == 204
        await host.until(lambda: host.firmware.arrival_times("M876"), 2)
        await host.until(lambda: host.state in (S.COMPLETED, S.PAUSED), 20)


async def test_m112_is_sent_at_once_if_lines_are_acknowledged_at_receipt(tmp_path):
    class Slow(Repetier):
        def on(self, number, command, raw):
            return (10.0,) if command.startswith("G1") else super().on(number, command, raw)

    async with rig(tmp_path, Slow) as host:
        await host.print("G1 X1\n" * 100)
        await host.sleep(3)
        began = host.now
        await host.gcode("M112")
        await host.until(lambda: host.firmware.arrival_times("M112", began), 0.1)
