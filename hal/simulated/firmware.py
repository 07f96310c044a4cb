"""The device end of the protocol, sans-IO: bytes and the time in, bytes out.

    wire → receive buffer (128 bytes) → command queue (4 lines) → command → planner (16 moves)
                                                                     └→ `ok` → wire

A discrete-event simulation of Marlin: everything that happens has a computed time, and `advance` works through
what is due. The `ok` of a line is sent when the line has been executed, and a move is executed once it has a
place in the planner. Lines are read only while the command queue has room, also in the middle of a command.

Other firmwares differ by their `Speech`. What goes wrong on purpose is in `faults`, and costs nothing where
nothing does.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hal.simulated import texts
from hal.simulated.board import Board, Wait
from hal.simulated.commands import Commands
from hal.simulated.config import FirmwareConfig
from hal.simulated.eeprom import Eeprom
from hal.simulated.emergency import EmergencyParser
from hal.simulated.faults import Faults, Happened
from hal.simulated.heating import Heating
from hal.simulated.oracle import Oracle
from hal.simulated.receiver import Line, Receiver, Refusal, Skipped
from hal.simulated.sd_card import SdCard
from hal.simulated.texts import PAUSED_FOR_USER
from hal.simulated.wire import wire

if TYPE_CHECKING:
    from collections.abc import Callable

_AT_ONCE = {"M108", "M112", "M410"}  # without EMERGENCY_PARSER: when the line is read into the queue


class Firmware:
    """A simulated Marlin. Times are the device's, in seconds, and never go back.

    It is off until the first `reset`.

    Attributes:
        plugged_at: until then the cable is pulled.
        on_unplug: called when it is.
        broken_endstops: axes whose endstop does not trigger; as the heat, they outlive a reset.
    """

    def __init__(self, config: FirmwareConfig | None = None, oracle: Oracle | None = None) -> None:
        self.config = config or FirmwareConfig()
        self.oracle = oracle or Oracle(keep=0)
        self.now = 0.0
        self.plugged_at = -math.inf
        self.on_unplug: Callable[[], None] | None = None
        config = self.config
        self._to_device = wire(config.baudrate, config.latency, config.jitter, f"{config.seed} to device")
        self._to_host = wire(config.baudrate, config.latency, config.jitter, f"{config.seed} to host")
        self._flow_control, self._places = config.flow_control, config.queue
        self._commands = Commands(config)
        self.heat = Heating(config)
        self.broken_endstops: set[int] = set()
        self._card = dict(config.sd_files)
        self._eeprom = Eeprom()
        self._faults = Faults(config.scenario, config.seed, self) if config.scenario else None
        self._power_up(boot_at=math.inf)
        self.halted = True

    def _power_up(self, boot_at: float) -> None:
        """Forget everything but the time."""
        config = self.config
        self.halted = False
        self.heat.restart(self.now)
        self.board = Board(config, self.say, self.oracle, self.heat)
        self.board.now = self.now
        self.board.sd = SdCard(self.say, self._card)
        self.board.broken_endstops = self.broken_endstops
        self.board.eeprom = self._eeprom
        self._eeprom.load(self.board)
        self.board.resend = self._ask_again
        self.board.set_line_number = self._set_line_number
        self.board.kill = self.kill
        self._receiver = Receiver(config)
        self._emergency = EmergencyParser() if config.emergency_parser else None
        self._queue: deque[Line] = deque()  # the first one is running
        self._running: Wait | None = None
        self._resume_at = self._busy_at = math.inf
        self._idle_at = math.inf  # when the next `wait` is due
        self._hung_until: float | None = None
        self._boot_at = boot_at
        self._shut_down = False
        if self._faults is not None:
            self._faults.forget()

    # ── what a transport calls ──────────────────────────────────────────────────────────────────────────────

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes that the host puts on the wire at `now`."""
        if self._faults is None:
            self._to_device.send(data, now)
        else:
            for piece, late in self._faults.damage_to_printer(data):
                self._to_device.send(piece, now + late)

    def advance(self, now: float) -> bytes:
        """Do everything that is due up to `now`; return the bytes that have reached the host by then."""
        self.proceed(now)
        return self.heard()

    def proceed(self, now: float) -> float:
        """Do everything that is due up to `now`; return when there is more to do. What is said waits for `heard`."""
        while (due := self._next()) <= now:
            if due > self.now:
                self.now = self.board.now = due
            self._step()
        if now > self.now:
            self.now = self.board.now = now
        self.board.planner.catch_up(self.now)
        return due

    def heard(self) -> bytes:
        """Return the bytes that have reached the host, line by line."""
        return self._to_host.arrived(self.now) if self._to_host.due <= self.now else b""

    @property
    def heard_at(self) -> float:
        """When the host hears the next line; infinite where nothing was said."""
        return self._to_host.due

    def next_event(self) -> float | None:
        """Return when `advance` has something to do again; None: when bytes come."""
        due = min(self._next(), self.heard_at)
        return None if due == math.inf else due

    def reset(self, now: float) -> None:
        """Press the reset button, or pulse DTR: everything is forgotten, and the board boots."""
        self.advance_silently(now)
        self._to_device.clear()
        self.board.quick_stop()
        self._power_up(self.now + self.config.boot_time)

    def pulse_dtr(self, now: float) -> None:
        """Do what opening the port does, which resets most boards; a board that is off is switched on."""
        if self.config.speech.dtr_resets or (self.halted and self._boot_at == math.inf):
            self.reset(now)

    def advance_silently(self, now: float) -> None:
        """As `advance`, while nobody listens: what the firmware says is lost."""
        self.advance(now)
        self._to_host.clear()

    def start_panel_print(self, name: str, size: int) -> None:
        """Begin a print from the SD card, as somebody at the panel does."""
        self.board.sd.start(name, size, self.now)

    @property
    def asks_user(self) -> bool:
        """It waits for somebody at the printer (M0, M600)."""
        return self.board.waiting and self.board.busy_reason == PAUSED_FOR_USER

    def press_knob(self) -> None:
        """Answer what it asks, as somebody at the printer does."""
        if self.asks_user:
            self._at_once("M108")

    @property
    def happened(self) -> Sequence[Happened]:
        """What has gone wrong by the scenario, the first of it."""
        return self._faults.happened if self._faults is not None else ()

    # ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────

    def kill(self, *reasons: str) -> None:
        """Stop everything, as M112 does: heaters off, no more moves, silence until reset."""
        if self.halted:
            return
        for line in (*reasons, *self.config.speech.killed):
            self.say(line)
        self.board.act("poweroff")
        self.board.quick_stop()
        self.board.heaters_off()
        self._shut_down = bool(self.config.speech.shut_down)
        self.halted = not self._shut_down
        self.board.sd = SdCard(self.say, self._card)
        self._resume_at = self._busy_at = self.board.report_at = math.inf
        if self.halted:
            self._queue.clear()
            self._running = None

    def boot(self, after: float) -> None:
        """Boot by itself, after so many seconds without power."""
        self._to_device.clear()
        self._to_host.clear()
        self.board.quick_stop()
        self._power_up(self.now + after + self.config.boot_time)

    def hang(self, seconds: float) -> None:
        """Do nothing for so long."""
        self._hung_until = self.now + seconds

    def unplug(self, seconds: float) -> None:
        """Pull the cable, and plug it in again after so long."""
        self.plugged_at = self.now + seconds
        self._to_device.clear()
        self._to_host.clear()
        if self.on_unplug is not None:
            self.on_unplug()

    def inject(self, command: str) -> None:
        """Run a command of the firmware's own next."""
        self._queue.insert(min(1, len(self._queue)), Line(None, command, quiet=True))
        self._work()

    # ── the clockwork ───────────────────────────────────────────────────────────────────────────────────────

    def _next(self) -> float:
        arrival = self._to_device.due
        if self._flow_control and not self._receiver.room:
            arrival = math.inf
        due = min(arrival, self._boot_at, self._resume_at, self._busy_at, self._idle_at, self.board.due)
        if self._faults is None:
            return due
        return min(due if self._hung_until is None else self._hung_until, self._faults.due)

    def _step(self) -> None:
        """Do what is due now, in the order in which Marlin's main loop does."""
        now = self.now
        if self._faults is not None:
            self._faults.advance()
            if self._hung_until is not None and self._hung_until > now:
                return
            self._hung_until = None
        if self._boot_at <= now:
            self._boot()
        if self.board.due <= now:
            self.board.advance()
        self._work()
        if self._resume_at <= now:
            self._resume()
            self._work()
        if self._busy_at <= now:
            self.say(self.config.speech.busy.format(reason=self.board.busy_reason))
            self._busy_at += self.board.busy_interval
        if self._idle_at <= now:
            self.say("wait")
            self._idle_at = now + self.config.speech.idle_wait

    def _boot(self) -> None:
        self._boot_at = math.inf
        speech = self.config.speech
        for line in texts.banner(self.board.limits, self.board.modal.steps) if speech.banner is None else speech.banner:
            self.say(line)
        self.board.act("prompt_end")
        self._note_idle()

    def _work(self) -> None:
        """Read and execute until there is nothing to read or a command takes time."""
        wire, now = self._to_device, self.now
        while (
            (wire.begins <= now and self._hear())
            | (len(self._queue) < self._places and self._has_more and self._read())
            | (self._running is None and bool(self._queue) and self._begin())
        ):
            pass

    @property
    def _has_more(self) -> bool:
        """There may be a line to be read."""
        return self._receiver.holds or self.board.sd.printing

    def _hear(self) -> bool:
        """Move bytes from the wire into the receive buffer."""
        data = self._to_device.arrived(self.now, self._receiver.room if self._flow_control else None)
        if not data or self.halted or self._boot_at < math.inf:
            return False
        self.oracle.counters.overruns += self._receiver.store(data)
        for code in self._emergency.feed(data) if self._emergency else ():
            self._at_once(code)
        return not self.halted

    def _read(self) -> bool:
        """Fill the command queue from the receive buffer; stop at a line that must come again."""
        read = False
        while len(self._queue) < self._places and not self.halted:
            if self._faults is not None and self._faults.pending:
                break
            line = self._receiver.take()
            if line is None:
                return (self.board.sd.printing and self._read_card()) or read
            read = True
            if self._faults is not None and isinstance(line, Line) and self._faults.refuses(line.number):
                self._receiver.last_number -= 1
                line = Refusal("checksum mismatch")
            if isinstance(line, Refusal):
                self._refuse(line)
                break
            if isinstance(line, Skipped):
                self.say(self.config.speech.skipped.format(number=line.number))
                self.say("ok")
            else:
                self._accept(line)
        return read

    def _read_card(self) -> bool:
        command = self.board.sd.take_line()
        if command is None:
            return False
        self._accept(Line(None, command, quiet=True))
        return True

    def _accept(self, line: Line) -> None:
        counters = self.oracle.counters
        self.oracle.accept(line.number, line.command, self.now)
        self._queue.append(line)
        counters.max_in_flight = max(counters.max_in_flight, len(self._queue) + self._receiver.waiting)
        if self._emergency is None and line.command[:4] in _AT_ONCE:
            self._at_once(line.command[:4])
        if self._faults is not None:
            self._faults.accepted(line.number)

    def _at_once(self, code: str) -> None:
        """Do what does not wait for its turn."""
        if code == "M112":
            if not self.config.speech.shut_down:  # else it is a command like others
                self.kill(*self.config.speech.stopped)
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
        self._ask_again(refusal)

    def _ask_again(self, refusal: Refusal | None = None) -> None:
        """Refuse a line; without one ask all the same, as M999 does."""
        self.oracle.counters.resends += 1
        speech, last = self.config.speech, self._receiver.last_number
        if speech.flushes:
            self._receiver.flush()
        reason, checksum = (refusal.reason, refusal.checksum) if refusal else ("", 0)
        for line in speech.refusal if refusal else speech.refusal[-2:]:
            self.say(line.format(reason=reason, last=last, next=last + 1, checksum=checksum))

    def _set_line_number(self, number: int) -> None:
        self._receiver.last_number = number

    # ── executing ───────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> bool:
        """Begin the first command of the queue if none is running."""
        if self._running is not None or not self._queue or (self._faults is not None and self._faults.pending):
            return False
        self._idle_at = math.inf
        line = self._queue[0]
        self.board.line, self.board.command = line.number, line.command
        self._running = self._execute(line.command)
        if self._running is None:
            self._finish()
        else:
            self._busy_at = self.now + self.board.busy_interval if self.board.busy_interval else math.inf
            self._resume()
        return True

    def _execute(self, text: str) -> Wait | None:
        if self._shut_down and self._commands.word(text) not in self.config.speech.when_shut_down:
            for line in self.config.speech.shut_down:
                self.say(line)
            return None
        if self.config.execution_time:
            return self._execute_slowly(text)
        return self._commands.run(self.board, text)

    def _execute_slowly(self, text: str) -> Wait:
        done = self.now + self.config.execution_time
        while self.now < done:
            yield done
        yield from self._commands.run(self.board, text) or ()

    def _resume(self) -> None:
        """Let the running command go on until it takes time again."""
        if self._running is None:
            return
        self._resume_at = next(self._running, -math.inf)
        if self._resume_at == -math.inf:
            self._finish()

    def _finish(self) -> None:
        """Answer the first command of the queue, and forget it."""
        if self._faults is not None and not self.halted and (late := self._faults.late(self._queue[0].number)):
            self._running, self._resume_at, self._busy_at = iter((self.now + late,)), self.now, math.inf
            return
        self._running = None
        self._resume_at = self._busy_at = math.inf
        if self.halted:
            return
        line, board = self._queue[0], self.board
        if not line.quiet:
            self._answer(line.number, self._ok(line.number) if board.answer_line is None else board.answer_line)
        board.answer_line = None
        self._queue.popleft()
        if board.restarts:
            self._restart()
        elif not self._queue:
            self._note_idle()

    def _answer(self, number: int | None, text: str) -> None:
        if self._faults is None:
            self.say(text)
        else:
            for _ in range(self._faults.answers(number)):
                self.say(text)

    def _ok(self, number: int | None) -> str:
        if not self.config.advanced_ok:
            ok = self.config.speech.ok
            return ok if ok == "ok" else ok.format(number="" if number is None else number).rstrip()
        free = f"P{self.board.planner.free(self.now)} B{self._places - len(self._queue)}"
        return f"ok {free}" if number is None else f"ok N{number} {free}"

    def _restart(self) -> None:
        """Come back from a shut-down by the firmware's own command."""
        self._power_up(self.now + self.config.restart_time)
        for line in self.config.speech.restarted:
            self.say(line)

    def _note_idle(self) -> None:
        if self.config.speech.idle_wait:
            self._idle_at = self.now + self.config.speech.idle_wait

    def say(self, text: str) -> None:
        """Say a line."""
        if self.halted:
            return
        if self._faults is None:
            self._to_host.send(text.encode() + b"\n", self.now)
        else:
            for piece, late in self._faults.damage_to_host(text.encode() + b"\n"):
                self._to_host.send(piece, self.now + late)
