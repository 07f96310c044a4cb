"""The device end of the protocol, sans-IO: bytes and the time in, bytes out.

    wire → receive buffer (128 bytes) → command queue (4 lines) → command → planner (16 moves)
                                                                     └→ `ok` → wire

A discrete-event simulation of Marlin: everything that happens has a computed time, and `advance` works through
what is due. The `ok` of a line is sent when the line has been executed, and a move is executed once it has a
place in the planner. Lines are read only while the command queue has room, also in the middle of a command.
"""

import math
from collections import deque

from gcode.command import Command, parse
from gcode.errors import CommandError
from hal.simulated import heat_commands, motion_commands, system_commands, texts
from hal.simulated.board import Board, Wait
from hal.simulated.config import FirmwareConfig
from hal.simulated.emergency import EmergencyParser
from hal.simulated.oracle import Oracle
from hal.simulated.receiver import Line, Receiver, Refusal
from hal.simulated.sd_card import SdCard
from hal.simulated.wire import Wire

_COMMANDS = {**motion_commands.TABLE, **heat_commands.TABLE, **system_commands.TABLE}
_AT_ONCE = {"M108", "M112", "M410"}  # without EMERGENCY_PARSER: when the line is read into the queue


class Firmware:
    """A simulated Marlin. Times are the device's, in seconds, and never go back.

    It is off until the first `reset`.
    """

    def __init__(self, config: FirmwareConfig | None = None, oracle: Oracle | None = None) -> None:
        self.config = config or FirmwareConfig()
        self.oracle = oracle or Oracle(keep=0)
        self.now = 0.0
        self._to_device = Wire(self.config.baudrate)
        self._to_host = Wire(self.config.baudrate)
        self._commands = dict(_COMMANDS)
        if self.config.host_actions:
            self._commands |= system_commands.WITH_HOST_ACTIONS
        if self.config.sd_card:
            self._commands |= system_commands.WITH_SD_CARD
        self._power_up(boot_at=math.inf)
        self.halted = True

    def _power_up(self, boot_at: float) -> None:
        """Forget everything but the time."""
        config = self.config
        self.halted = False
        self.board = Board(config, self._say, self.oracle.counters)
        self.board.now = self.now
        self.board.resend = self._ask_again
        self.board.set_line_number = self._set_line_number
        self.board.kill = self.kill
        self._receiver = Receiver(config)
        self._emergency = EmergencyParser() if config.emergency_parser else None
        self._queue: deque[Line] = deque()  # the first one is running
        self._running: Wait | None = None
        self._resume_at = self._busy_at = math.inf
        self._boot_at = boot_at

    # ── what a transport calls ──────────────────────────────────────────────────────────────────────────────

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes that the host puts on the wire at `now`."""
        self._to_device.send(data, now)

    def advance(self, now: float) -> bytes:
        """Do everything that is due up to `now`; return the bytes that have reached the host by then."""
        while (due := self._next()) <= now:
            self.now = self.board.now = max(due, self.now)
            self._step()
        self.now = self.board.now = max(now, self.now)
        return self._to_host.arrived(self.now)

    def next_event(self) -> float | None:
        """Return when `advance` has something to do again; None: when bytes come."""
        arrival = self._to_host.next_arrival()
        due = min(self._next(), math.inf if arrival is None else arrival)
        return None if due == math.inf else due

    def reset(self, now: float) -> None:
        """Press the reset button, or pulse DTR: everything is forgotten, and the board boots."""
        self.advance_silently(now)
        self._to_device.clear()
        self._power_up(self.now + self.config.boot_time)

    def advance_silently(self, now: float) -> None:
        """As `advance`, while nobody listens: what the firmware says is lost."""
        self.advance(now)
        self._to_host.clear()

    def start_panel_print(self, name: str, size: int) -> None:
        """Begin a print from the SD card, as somebody at the panel does."""
        self.board.sd.start(name, size, self.now)

    def kill(self) -> None:
        """Stop everything, as M112 does: heaters off, no more moves, silence until reset."""
        if self.halted:
            return
        self._say("Error:Printer halted. kill() called!")
        self.board.act("poweroff")
        self.board.quick_stop()
        for heater in (self.board.hotend, self.board.bed):
            heater.set_target(0.0, self.now)
        self.halted = True
        self.board.sd = SdCard(self._say)
        self._queue.clear()
        self._running = None
        self._resume_at = self._busy_at = self.board.report_at = math.inf

    # ── the clockwork ───────────────────────────────────────────────────────────────────────────────────────

    def _next(self) -> float:
        arrival = self._to_device.next_arrival()
        if arrival is None or (self.config.flow_control and not self._receiver.room):
            arrival = math.inf
        board = self.board
        return min(arrival, self._boot_at, self._resume_at, self._busy_at, board.report_at, board.sd.due)

    def _step(self) -> None:
        """Do what is due now, in the order in which Marlin's main loop does."""
        if self._boot_at <= self.now:
            self._boot()
        if self.board.report_at <= self.now:
            self._say(self.board.temperatures())
            self.board.report_at += self.board.report_interval
        if self.board.sd.due <= self.now:
            self.board.sd.advance(self.now)
        self._work()
        if self._resume_at <= self.now:
            self._resume()
            self._work()
        if self._busy_at <= self.now:
            self._say(f"echo:busy: {self.board.busy_reason}")
            self._busy_at += self.board.busy_interval

    def _boot(self) -> None:
        self._boot_at = math.inf
        for line in (*texts.BANNER, *texts.settings(self.board.limits, self.board.modal.steps)):
            self._say(line)
        self.board.act("prompt_end")

    def _work(self) -> None:
        """Read and execute until there is nothing to read or a command takes time."""
        while self._hear() | self._read() | self._begin():
            pass

    def _hear(self) -> bool:
        """Move bytes from the wire into the receive buffer."""
        data = self._to_device.arrived(self.now, self._receiver.room if self.config.flow_control else None)
        if not data or self.halted or self._boot_at < math.inf:
            return False
        self.oracle.counters.overruns += self._receiver.store(data)
        for code in self._emergency.feed(data) if self._emergency else ():
            self._at_once(code)
        return not self.halted

    def _read(self) -> bool:
        """Fill the command queue from the receive buffer; stop at a line that must come again."""
        read = False
        while not self.halted and len(self._queue) < self.config.queue:
            line = self._receiver.take()
            if line is None:
                break
            read = True
            if isinstance(line, Refusal):
                self._refuse(line)
                break
            self._accept(line)
        return read

    def _accept(self, line: Line) -> None:
        counters = self.oracle.counters
        self.oracle.accept(line.number, line.command, self.now)
        self._queue.append(line)
        counters.max_in_flight = max(counters.max_in_flight, len(self._queue) + self._receiver.waiting)
        if self._emergency is None and line.command[:4] in _AT_ONCE:
            self._at_once(line.command[:4])

    def _at_once(self, code: str) -> None:
        """Do what does not wait for its turn."""
        if code == "M112":
            self._say("echo:M112 Shutdown")
            self.kill()
        elif code == "M410":
            self.board.quick_stop()
        else:
            self.board.waiting = False
        if self._running is not None:
            self._resume_at = self.now  # let it see that

    def _refuse(self, refusal: Refusal) -> None:
        counters = self.oracle.counters
        if refusal.reason.startswith("Line Number"):
            counters.out_of_order += 1
        else:
            counters.bad_checksums += 1
        self._say(f"Error:{refusal.reason}, Last Line: {self._receiver.last_number}")
        self._ask_again()

    def _ask_again(self) -> None:
        self.oracle.counters.resends += 1
        self._receiver.flush()
        self._say(f"Resend: {self._receiver.last_number + 1}")
        self._say("ok")

    def _set_line_number(self, number: int) -> None:
        self._receiver.last_number = number

    # ── executing ───────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> bool:
        """Begin the first command of the queue if none is running."""
        if self._running is not None or not self._queue:
            return False
        self._running = self._execute(self._queue[0].command)
        self._busy_at = self.now + self.board.busy_interval if self.board.busy_interval else math.inf
        self._resume()
        return True

    def _resume(self) -> None:
        """Let the running command go on until it takes time again."""
        if self._running is None:
            return
        self._resume_at = next(self._running, -math.inf)
        if self._resume_at == -math.inf:
            self._finish()

    def _finish(self) -> None:
        self._running = None
        self._resume_at = self._busy_at = math.inf
        if self.halted:
            return
        if not self.board.answered:
            self._say(self._ok())
        self.board.answered = False
        self._queue.popleft()

    def _ok(self) -> str:
        if not self.config.advanced_ok:
            return "ok"
        number = self._queue[0].number
        free = f"P{self.board.planner.free(self.now)} B{self.config.queue - len(self._queue)}"
        return f"ok {free}" if number is None else f"ok N{number} {free}"

    def _execute(self, text: str) -> Wait:
        if self.config.execution_time:
            done = self.now + self.config.execution_time
            while self.now < done:
                yield done
        command = _understand(text)
        handler = self._commands.get(command.code) if command else None
        if command is not None and handler is not None:
            yield from handler(self.board, command) or ()
        elif command is not None and command.code.startswith("T"):
            self._say(f"echo:{command.code} Invalid extruder")
        else:
            self._say(f'echo:Unknown command: "{text}"')

    def _say(self, text: str) -> None:
        if not self.halted:
            self._to_host.send(text.encode() + b"\n", self.now)


def _understand(text: str) -> Command | None:
    """Parse a command; None where the firmware knows nothing like it. Marlin wants capitals."""
    try:
        return parse(text) if text[:1] in ("G", "M", "T") else None
    except CommandError:
        return None
