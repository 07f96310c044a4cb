"""Fake firmwares of several makes, by their sources and by users' logs; tests of one printer derive from them."""

import re

from support.fake_firmware import FakeFirmware, Steps, cap, xor_of

MARLIN_2 = "FIRMWARE_NAME:Marlin 2.1.2 (Jan) SOURCE_CODE_URL:x PROTOCOL_VERSION:1.0 MACHINE_TYPE:X EXTRUDER_COUNT:1"


class Marlin1(FakeFirmware):
    """Marlin 1.0: a colon ends a line as a line feed does, and the first asterisk begins the checksum."""

    banner = ("start", "echo:Marlin 1.0.0")
    m115 = (
        (
            "FIRMWARE_NAME:Marlin V1; Sprinter/grbl mashup for gen6 FIRMWARE_URL:x PROTOCOL_VERSION:1.0 "
            "MACHINE_TYPE:Mendel EXTRUDER_COUNT:1"
        ),
    )

    def line(self, raw: str) -> None:
        for part in raw.split(":"):
            if part.startswith("N") and part.count("*") > 1:
                self._bad("checksum mismatch")
            elif not part.startswith("N") and "*" in part:
                self.say(f"Error:No Line Number with checksum, Last Line: {self.last}")
            else:
                super().line(part)

    def on(self, number: int | None, command: str, raw: str) -> Steps | None:
        if command.startswith(("M73", "M486", "M862", "M900")):
            return f'echo:Unknown command: "{raw}"', "ok"
        return None


class Klipper(FakeFirmware):
    """Klipper's pseudo-tty: lines have no numbers, opening it resets nothing, and after a shutdown it answers `!!`."""

    banner = ()
    numbered = False
    resets = False
    max_line = None
    queue_size = 1000
    shutdown_reason: str | None = None  # None: it runs

    def on(self, number: int | None, command: str, raw: str) -> Steps | None:
        if command.startswith("M115"):
            return ("ok FIRMWARE_VERSION:v0.12 FIRMWARE_NAME:Klipper",)
        if command.startswith("M105"):
            return ("ok B:{:.1f} /{:.1f} T0:{:.1f} /{:.1f}".format(*self.read("B"), *self.read("T")),)
        if command.startswith(("FIRMWARE_RESTART", "RESTART")):
            self.shutdown_reason = None
            return ("ok", 2.0, "// Klipper state: Ready")
        if command.startswith("M112") and not self.shutdown_reason:
            self.shut_down("Shutdown due to M112 command")
            return "// Klipper state: Shutdown", "ok"
        if self.shutdown_reason:
            text = self.shutdown_reason
            return f"// {text}", "// Once the underlying issue is corrected, use the", f"!! {text}", "ok"
        if command.startswith(("M108", "M85", "M113", "M410")):
            return f'// Unknown command:"{command.split(maxsplit=1)[0]}"', "ok"
        return None

    def shut_down(self, why: str) -> None:
        self.shutdown_reason = why
        for heater in self.heat.values():
            heater[1] = 0.0


class Smoothie(FakeFirmware):
    """Smoothieware: an ok for an empty line too; once halted, `!!` instead of an ok."""

    banner = ("Smoothie", "ok")
    m115 = (
        (
            "FIRMWARE_NAME:Smoothieware, FIRMWARE_URL:http%3A//smoothieware.org, X-SOURCE_CODE_URL:x, "
            "FIRMWARE_VERSION:edge-1, X-FIRMWARE_BUILD_DATE:x, X-SYSTEM_CLOCK:100MHz, X-AXES:5, X-CNC:0"
        ),
    )
    resets = False
    halted = False

    def blank(self) -> None:
        self.say("ok")

    def refuse(self, why: str) -> None:
        self.say(f"rs N{self.last + 1}")

    def on(self, number: int | None, command: str, raw: str) -> Steps | None:
        if "M112" in command:
            self.stop()
            return ("ok Emergency Stop Requested - reset or M999 required to exit HALT state",)
        if command.startswith("M999"):
            self.halted = False
            return "WARNING: After HALT you should HOME as position is currently unknown", "ok"
        if command.startswith("M105"):
            return ("ok T:{:.1f} /{:.1f} @0 B:{:.1f} /{:.1f} @0 ".format(*self.read("T"), *self.read("B")),)
        if command.startswith("M114"):
            return ("ok C: X:10.0000 Y:20.0000 Z:0.3000 E:5.0000",)
        if self.halted and not command.startswith(("M115", "M110")):
            return ("!!",)
        return None

    def stop(self, *why: str) -> None:
        self.halted = True
        for heater in self.heat.values():
            heater[1] = 0.0
        self.say(*why)


class Prusa(FakeFirmware):
    """Prusa-Firmware of an MK3S: automatic reports, an ok glued to T0, a second ok for an M105 if more lines wait."""

    banner = ("start", "echo: 3.13.2-7080")
    m115 = (
        (
            "FIRMWARE_NAME:Prusa-Firmware 3.13.2 based on Marlin FIRMWARE_URL:x PROTOCOL_VERSION:1.0 "
            "MACHINE_TYPE:Prusa i3 MK3S EXTRUDER_COUNT:1 UUID:0"
        ),
        *cap(AUTOREPORT_TEMP=1, AUTOREPORT_FANS=1, AUTOREPORT_POSITION=1, PRUSA_MMU2=0),
    )
    heat_rate = 100.0
    paused_target = 0.0

    def report(self) -> str:
        nozzle, bed = self.read("T"), self.read("B")
        return "T:{:.1f} /{:.1f} B:{:.1f} /{:.1f} T0:{:.1f} /{:.1f} @:0 B@:0 P:0.0 A:30.2".format(
            *nozzle, *bed, *nozzle
        )

    def on(self, number: int | None, command: str, raw: str) -> Steps | None:
        if command.startswith("M105"):
            return f"ok {self.report()}", *(("ok",) if self._queue else ())
        if re.match(r"T\d\b", command):
            return (b"echo:Active Extruder: 0ok\n",)
        if command.startswith("M601"):
            self.paused_target = self.read("T")[1]
            self.set_target("T", 0.0)
            return "ok", "// action:paused"
        if command.startswith("M602"):
            self.set_target("T", self.paused_target)
            return "// action:resumed", "ok"
        if command.startswith(("M108", "M412", "M211", "M876", "M999")):
            return f"Unknown M code: {command}", "ok"
        return None


class Repetier(FakeFirmware):
    """Repetier: an ok with the number once a line is queued, the answer later; resend requests until the line comes."""

    banner = ("start", "Info:External Reset", "Free RAM:3382", "SelectExtruder:0", "FlowMultiply:100")
    m115 = (
        (
            "FIRMWARE_NAME:Repetier_1.0.4 FIRMWARE_URL:https://x PROTOCOL_VERSION:1.0 MACHINE_TYPE:Mendel "
            "EXTRUDER_COUNT:1 REPETIER_PROTOCOL:3"
        ),
        *cap(PROGRESS=0, AUTOREPORT_TEMP=1, EEPROM=1, PAUSESTOP=1, EMERGENCY_PARSER=1),
    )
    ok_at_receipt = True
    queue_size = 16
    emergency_parser = True
    eol = "\r\n"
    says_wait = True
    last_line_at = 0.0
    resend_number: int | None = None
    repeats = 40  # lines; a number up to so far back is a line that it has already, an older one is wrong
    _resend_count = 0

    def boot(self) -> None:
        super().boot()
        self.resend_number = None
        if self.says_wait:
            self.every(1.0, self._wait)

    def _wait(self) -> None:
        if self.now - self.last_line_at >= 1.0 and not self.killed and self._steps is None:
            self.say("wait")

    def line(self, raw: str) -> None:
        self.last_line_at = self.now
        if (match := re.match(r"N(\d+) (?!M110)(.*)\*(\d+)$", raw)) and int(match[3]) == xor_of(raw.rpartition("*")[0]):
            number = int(match[1])
            if number == self.last + 1:
                self.resend_number = None
            elif self.resend_number is not None or 0 <= self.last - number < self.repeats:
                self.say(f"skip {number}", "ok")
                return
        super().line(raw)

    def receipt(self, number: int | None) -> str:
        return f"ok {self.last if number is None else number % 65536}"

    def refuse(self, why: str) -> None:
        self.say("Error:Wrong checksum")
        self.resend_number = self.last + 1
        self._resend_count += 1
        self._ask(self._resend_count)

    def _ask(self, request: int) -> None:
        if self.resend_number is not None and request == self._resend_count:
            self.say("", f"Resend:{self.resend_number}", "ok")
            self.later(0.2, lambda: self._ask(request))

    def report(self) -> str:
        return "T:{:.2f} /{:.0f} B:{:.2f} /{:.0f} B@:0 @:0".format(*self.read("T"), *self.read("B"))

    def on(self, number: int | None, command: str, raw: str) -> Steps | None:
        if command.startswith(("M73", "M113", "M900", "M600", "M486", "M27")):
            values = "".join(
                f"{letter}{float(value):.2f} " for letter, value in re.findall(r" ([PRSK])([\d.]+)", command)
            )
            return (f"Unknown command:{f'N{number} ' if number else ''}{command.split(maxsplit=1)[0]} {values}",)
        if command.startswith("M114"):
            return ("X:10.00 Y:20.00 Z:0.300 E:5.0000",)
        return None


class Malyan(FakeFirmware):
    """The Monoprice Select Mini's: an unusual answer to M115, and an ok with three numbers."""

    banner = ("start",)
    m115 = ("NAME. Malyan\tVER: 3.5\tMODEL: M200\tHW: HH02", "BUILD: May 18 2017 20:24:25")
    resets = False
    has_number = True

    def on(self, number: int | None, command: str, raw: str) -> Steps | None:
        if command.startswith("M110"):
            return None
        ok = f"ok N{number or 0 if self.has_number else 0} P15 B15"
        if command.startswith("M105"):
            nozzle, bed = self.read("T"), self.read("B")
            report = "T:{:.1f} /{:.1f} B:{:.1f} /{:.1f} T0:{:.1f} /{:.1f} @:0 B@:0".format(*nozzle, *bed, *nozzle)
            return (f"{ok} {report}",)
        return tuple(ok if step == "ok" else step for step in self.default(command))


class Teacup(FakeFirmware):
    """Teacup: an ok at boot, temperatures before their ok, no numbers, no M109, long commands in silence."""

    banner = ("start", "ok")
    m115 = (
        (
            "FIRMWARE_NAME:Teacup FIRMWARE_URL:http://github.com/traumflug/Teacup_Firmware/ PROTOCOL_VERSION:1.0 "
            "MACHINE_TYPE:Mendel EXTRUDER_COUNT:1 TEMP_SENSOR_COUNT:2 HEATER_COUNT:2"
        ),
    )
    numbered = False

    def blank(self) -> None:
        self.say("ok")

    def on(self, number: int | None, command: str, raw: str) -> Steps | None:
        if command.startswith("M105"):
            return "T:{:.2f}/{:.1f} B:{:.2f}/{:.1f}".format(*self.read("T"), *self.read("B")), "ok"
        if match := re.match(r"M(109|190|107|108|400|117|155|113|85)\b", command):
            return f"E: Bad M-code {match[1]}", "ok"
        return None
