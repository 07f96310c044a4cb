"""Printers and hosts from users' reports: each line is executed once, in order, and the print completes."""

import re

import pytest

from daemon.bridge.words import JobState as S
from support.fake_firmware import MARLIN, FakeFirmware, cap, lines, rig
from support.fake_printers import Repetier

MOVES = [f"G1 X{n}" for n in range(100)]
SOON = {"heat_report_s": 8.0}


class Wire(FakeFirmware):
    """A board with the receive buffer of an AVR: a host that runs ahead of it loses lines."""

    rx_size = 128
    move_seconds = 0.02


async def prints(tmp_path, firmware, before=(), within=120.0, moves=MOVES):
    """Print these moves and see that each was made, once; return the rig and how long it took."""
    async with rig(tmp_path, firmware, job=SOON) as host:
        await host.print(lines(before) + lines(moves))
        began = host.now
        await host.expect_end(S.COMPLETED, within=within)
        took = host.now - began
        await host.sleep(1)  # a surplus ok may be that of the last M400: then the end is reported early
        assert host.firmware.moves == moves
        host.firmware.at_the_end = {heater: host.firmware.read(heater)[0] for heater in host.firmware.heat}
        return host, took


# -- resends --

WAYS = {
    "without an ok": ("Error:checksum mismatch, Last Line: {last}", "Resend: {next}"),
    "twice, without an ok": (
        "Error:checksum mismatch, Last Line: {last}",
        "Resend: {next}",
        "Error:Line Number is not Last Line Number+1, Last Line: {last}",
        "Resend: {next}",
    ),
    "missing checksum": ("Error: Missing checksum", "Resend:{next}", "ok"),
    "with a full buffer": ("Full RX Buffer", "Error:checksum mismatch, Last Line: {last}", "Resend: {next}", "ok"),
    "short": ("rs {next}", "ok"),
    "short, with N": ("rs N{next} Expected checksum 67", "ok"),
    "the ok first": ("ok", "Resend: {next}"),
    "with an empty line": ("Error:expected line {next} got 7", "", "Resend:{next}", "ok"),
    "with the ok glued": ("Error:checksum mismatch, Last Line: {last}", "Resend: {next}ok"),
    "an unknown error": ("Error:Bad line", "Resend: {next}", "ok"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("times", [1, 3])
async def test_resend_requests_of_many_forms_are_answered(tmp_path, way, times):
    class Asks(Wire):
        hits = 0

        def transfer(self, raw):
            if re.search(r"G1 X[357]0\*", raw) and self.hits < times:
                self.hits += 1
                self._rx.clear()
                self.say(*(each.format(last=self.last, next=self.last + 1) for each in WAYS[way]))
                return None
            return raw

    host, took = await prints(tmp_path, Asks)
    assert host.firmware.hits == times
    assert took < 40


async def test_a_line_without_its_beginning_is_sent_again_without_a_resend_request(tmp_path):
    """`No Line Number with checksum` comes with no Resend in some builds: only silence, or the next line, tells."""

    class Cuts(Wire):
        hits = 0

        def transfer(self, raw):
            if "G1 X30*" in raw and not self.hits:
                self.hits += 1
                self.say(f"Error:No Line Number with checksum, Last Line: {self.last}")
                return None
            return raw

    host, _ = await prints(tmp_path, Cuts)
    assert host.firmware.hits


@pytest.mark.parametrize("back", [1, 2])
async def test_a_resend_request_for_an_acknowledged_line_is_answered(tmp_path, back):
    class Forgets(Wire):
        hits = 0

        def on(self, number, command, raw):
            if command == "G1 X30" and not self.hits:
                self.hits += 1
                self.last = number - back
                for _ in range(back):
                    self.executed.pop()
                self._queue.clear()
                self._rx.clear()
                return (
                    f"Error:Line Number is not Last Line Number+1, Last Line: {self.last}",
                    f"Resend: {self.last + 1}",
                    "ok",
                )
            return super().on(number, command, raw)

    host, _ = await prints(tmp_path, Forgets)
    assert host.firmware.hits


# -- oks that mean nothing --


@pytest.mark.parametrize("every", [3.0, 10.0])
async def test_stray_oks_do_not_make_the_host_run_ahead_for_good(tmp_path, every):
    class Chatty(Wire):
        move_seconds = 0.1

        def boot(self):
            super().boot()
            self.every(every, lambda: self.say("ok"))

    await prints(tmp_path, Chatty, within=300)


async def test_an_autotune_says_ok_with_each_temperature(tmp_path):
    class Tunes(Wire):
        move_seconds = 0.05

        def on(self, number, command, raw):
            if command.startswith("M303"):
                return (
                    *[2.0, "ok T:151.09 @:64"] * 40,
                    "PID Autotune finished! Put the last Kp, Ki and Kd constants",
                    "ok",
                )
            return super().on(number, command, raw)

    host, _ = await prints(tmp_path, Tunes, before=["M303 E0 S200 C8"], within=300)
    assert host.firmware.executed.index("M303 E0 S200 C8") < host.firmware.executed.index("G1 X0")


async def test_an_empty_unknown_command_and_its_ok_after_noise_cost_no_line(tmp_path):
    class Noise(Wire):
        def on(self, number, command, raw):
            if command in ("G1 X20", "G1 X40", "G1 X60", "G1 X80"):
                return 0.02, "ok", 'echo:Unknown command: ""', "ok"
            return super().on(number, command, raw)

    await prints(tmp_path, Noise)


@pytest.mark.parametrize("word", ["wait", "echo:wait", "busy:processing", "echo:busy: processing", "busy: heating"])
async def test_a_printer_may_say_wait_while_it_works(tmp_path, word):
    """Anycubic's says so in the middle of heating: it is no ok, and nothing was lost."""

    class Waits(Wire):
        def on(self, number, command, raw):
            if command.startswith(("G28", "G29", "G1 X50")):
                return (*[1.0, word] * 40, "ok")
            return super().on(number, command, raw)

    host, _ = await prints(tmp_path, Waits, before=["G28", "G29"], within=300)
    assert [c for c in host.firmware.job_commands if c.startswith("G2")] == ["G28", "G29"]


async def test_oks_with_numbers_may_come_twice_and_out_of_order(tmp_path):
    class Numbers(Wire):
        m115 = (MARLIN, *cap(ADVANCED_OK=1))

        def on(self, number, command, raw):
            if number and command.startswith("G1"):
                ok = f"ok N{number} P1 B{self.queue_size - len(self._queue)}"
                if number % 20 == 0:
                    return 0.02, f"ok N{number} P1", ok
                if number % 33 == 0:
                    return 0.02, f"Error:checksum mismat{number} P1 B15", ok
                return 0.02, ok
            return None

    await prints(tmp_path, Numbers)


# -- texts that look like something else --

DISPENSABLE = [
    "ok",
    "start",
    "Resend: 3",
    "rs 2",
    "!! attention",
    "Error: none",
    "wait",
    "T:300 /300",
    "//action:cancel",
    "fatal: no",
]


@pytest.mark.parametrize("text", DISPENSABLE)
async def test_a_text_of_m118_is_not_taken_for_the_printer_s_own(tmp_path, text):
    """M118 sends its text unchanged: it comes from the file."""

    class Says(Wire):
        def on(self, number, command, raw):
            if command.startswith("M118"):
                return f"{command[5:].strip()}\r\n".encode(), "ok"
            return super().on(number, command, raw)

    async with rig(tmp_path, Says, job=SOON) as host:
        await host.print(lines(MOVES[:50]) + f"M118 {text}\n" + lines(MOVES[50:]))
        if text == "//action:cancel":  # such a file is meant to cancel
            await host.expect_end(S.CANCELLED)
            return
        await host.expect_end(S.COMPLETED)
        assert host.firmware.moves == MOVES


@pytest.mark.parametrize(
    "name", ["OK.GCO", "START.GCO", "ERROR~1.GCO", "!!.GCO", "RESEND~1.G", "WAIT.G", "BUSY.GCO 1024"]
)
async def test_names_on_the_card_are_names(tmp_path, name):
    class Card(Wire):
        def on(self, number, command, raw):
            if command.startswith("M20"):
                return "Begin file list", name, f"{name} 1024", name.lower(), "End file list", "ok"
            return super().on(number, command, raw)

    async with rig(tmp_path, Card) as host:
        await host.print(lines(MOVES))
        await host.sleep(0.3)
        await host.gcode("M20")
        await host.expect_end(S.COMPLETED)
        assert host.firmware.moves == MOVES


@pytest.mark.parametrize(
    "noise",
    [
        "tmc2130_home_enter(axes_mask=0x01)",
        'echo:enqueueing "M600"',
        "//action:notification Heating…",
        "//action:probe_rewipe",
        "//action:out_of_filament T0",
        "// nothing in particular",
        "Caf\xe9 \xb0C \xff\xfe",
        "\x11\x13\x00\x07",
        '{"status":"I","heaters":[25.0,29.0]}',
        "Warning: motor phase A may be disconnected",
        "LCD status changed",
        "NORMAL MODE: Percent done: 10; print time remaining in mins: 5",
        "fsensor_autoload_check_start - autoload ENABLED",
        "E0:4320 RPM PRN1:0 RPM E0@:128 PRN1@:0",
        "echo:SD card ok",
        "echo:Now fresh file: X.GCO",
        "Not SD printing",
        "DEBUG:N12 ok",
        "Info: ok so far",
    ],
)
async def test_other_output_changes_nothing(tmp_path, noise):
    class Talks(Wire):
        def on(self, number, command, raw):
            if command in ("G1 X20", "G1 X60"):
                return 0.01, noise, 0.01, "ok"
            return super().on(number, command, raw)

    _, took = await prints(tmp_path, Talks)
    assert took < 6


@pytest.mark.parametrize(("eol", "nul"), [("\r\n", ""), ("\n\r", ""), ("\r\r\n", ""), ("\n", "\0"), ("\n\n", "")])
async def test_lines_end_in_many_ways(tmp_path, eol, nul):
    class Ends(Wire):
        def say(self, *log_entries):
            super().say(
                *(each if isinstance(each, bytes) else f"{nul}{each}{eol}".encode("latin-1") for each in log_entries)
            )

    _, took = await prints(tmp_path, Ends)
    assert took < 6


# -- identity --

NAMES = {
    "nothing of its name": ("ANET; http://www.anet3d.com",),
    "unknown": ('echo:Unknown command: "M115"',),
    "nothing": (),
    "an older form": (
        "FIRMWARE_NAME:Sprinter FIRMWARE_URL:http%%3A/github.com/kliment/Sprinter/ PROTOCOL_VERSION:1.0",
    ),
    "with colons": (
        "FIRMWARE_NAME:Marlin Ver 1.0.1 SOURCE_CODE_URL:http://a:80/b MACHINE_TYPE:Foo: Bar EXTRUDER_COUNT:1",
    ),
    "a name of its own": ("FIRMWARE_NAME:Creality 3D Ender-3 V2 PROTOCOL_VERSION:1.0 MACHINE_TYPE:Ender-3 V2",),
}


@pytest.mark.parametrize("name", NAMES)
async def test_a_printer_with_a_terse_m115_prints(tmp_path, name):
    class Who(Wire):
        banner = ("start",)
        m115 = NAMES[name]

    await prints(tmp_path, Who, before=["M104 S200", "M109 S200"])


async def test_a_printer_that_does_not_answer_m110_is_connected(tmp_path):
    """The printer obeys silently: it answers only M105."""

    class Mute(Wire):
        banner = ()
        resets = False

        def on(self, number, command, raw):
            return () if command.startswith("M110") else super().on(number, command, raw)

    async with rig(tmp_path, Mute, printer={"connect": False}) as host:
        await host.until(lambda: host.ready, 60)
        await host.print_moves(MOVES)


async def test_a_board_that_boots_twice_is_connected(tmp_path):
    class Twice(Wire):
        boots = 0

        def boot(self):
            super().boot()
            self.boots += 1
            if self.boots == 1:
                self.later(1.0, self.boot)

    async with rig(tmp_path, Twice) as host:
        await host.sleep(10)
        await host.until(lambda: host.ready)
        await host.print_moves(MOVES)


# -- heat --

REPORTS = [
    "TT::{0:.2f}{0:.2f}  //{1:.2f}{1:.2f}  BB::{2:.2f}{2:.2f}  //{3:.2f}{3:.2f}  @@::00  BB@@::00",
    "T:{0:.2f} /{1:.2f} B:-15.00 /{3:.2f} @:0 B@:0",
    "T:{0:.1f} E:0 W:?",
    "T:{0:.1f}",
]


@pytest.mark.parametrize("form", REPORTS)
async def test_odd_temperatures_do_not_end_a_print(tmp_path, form):
    """Creality's doubles each character, a loose thermistor is colder than ice, some tell no target or no bed."""

    class Odd(Wire):
        def report(self):
            return form.format(*self.read("T"), *self.read("B"))

    host, _ = await prints(tmp_path, Odd, before=["M140 S60", "M104 S200", "M109 S200"], within=400)
    assert host.firmware.at_the_end["T"] > 190


async def test_a_garbled_report_now_and_then_is_no_temperature(tmp_path):
    class Garbles(Wire):
        n = 0

        def report(self):
            self.n += 1
            good = super().report()
            return ["T:213.9 /:./T4./5.0 @: B@:53", "T:5. /5.0 B:", good, good[:7], f"T:2{good}", good][self.n % 6]

    host, _ = await prints(tmp_path, Garbles, before=["M104 S200", "M109 S200", "M190 S50"], within=200)
    assert host.firmware.at_the_end["T"] > 190
    assert host.firmware.at_the_end["B"] > 40


@pytest.mark.parametrize("seconds", [500])
@pytest.mark.parametrize(
    "command", ["G28", "G29", "G80", "G34", "M48", "G30", "M190 S60", "M303 E0 S200", "G4 S900", "M400"]
)
async def test_a_silent_long_command_is_waited_for(tmp_path, seconds, command):
    class Silent(Wire):
        def on(self, number, text, raw):
            if text == command and self.executed.count(text) == 1:
                return float(seconds), "ok"
            return super().on(number, text, raw)

    host, _ = await prints(tmp_path, Silent, before=["M140 S60", command], within=seconds + 300)
    assert host.firmware.open_count == 1


# -- pauses --


@pytest.mark.parametrize(
    "notice", ["//action:paused filament_runout 0", "//action:pause filament_runout", "RequestPause:No filament"]
)
async def test_a_runout_pauses_the_print(tmp_path, notice):
    board = Repetier if notice.startswith("Request") else Wire

    class Runs(board):
        move_seconds = 0.1
        out = False

        def on(self, number, command, raw):
            if command == "G1 X30" and not self.out:
                self.out = True
                self.say(notice)
            return super().on(number, command, raw)

    async with rig(tmp_path, Runs) as host:
        await host.print(lines(MOVES))
        await host.reach(S.PAUSED)
        await host.command_job("pause", "resume")
        await host.expect_end(S.COMPLETED)
        assert host.firmware.moves == MOVES


async def test_no_lines_are_sent_after_a_pause_by_the_printer(tmp_path):
    """M601 in a file: the printer makes the moves in its queue, but no more may follow."""

    class Pauses(Wire):
        move_seconds = 0.1

        def on(self, number, command, raw):
            if command.startswith("M601"):
                return "ok", "// action:paused"
            return super().on(number, command, raw)

    async with rig(tmp_path, Pauses) as host:
        await host.print(lines([*MOVES[:20], "M601", *MOVES[20:]]))
        await host.reach(S.PAUSED)
        await host.sleep(60)
        assert len(host.firmware.moves) <= 20 + 5
        await host.command_job("pause", "resume")
        await host.expect_end(S.COMPLETED)
        assert host.firmware.moves == MOVES


async def test_an_idle_stop_by_the_printer_is_reported_and_ends_with_a_reconnection(tmp_path):
    """M85: it has halted after idle time, with its own reason."""

    class Idle(Wire):
        def on(self, number, command, raw):
            if command == "G4 S2":
                self.halt(
                    "Error:!! KILL caused by too much inactive time, current command: G4 S2",
                    "Error:Printer halted. kill() called!",
                )
                return ()
            return super().on(number, command, raw)

    async with rig(tmp_path, Idle) as host:
        await host.print(lines([*MOVES[:10], "G4 S2", *MOVES[10:]]))
        await host.expect_end(S.FAILED)
        assert "inactive" in await host.error()
        await host.until(lambda: host.ready, 60)
