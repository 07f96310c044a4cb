"""The device end of the protocol, sans-IO: bytes and the time in, bytes out.

    wire → receive buffer (128 bytes) → command queue (4 lines) → command → planner (16 moves)
                                                                     └→ `ok` → wire

Theory of operation. This is a discrete-event simulation: everything that happens has a computed time, `next_event`
returns the earliest, and `advance` works through all that is due. There is no clock and no task, so a print of an hour
takes seconds, and the same seed gives the same print, byte for byte.

The chain above is Marlin's main loop (MarlinCore.cpp `idle`, queue.cpp `get_available_commands` and `advance`), and
most of a host's troubles follow from its sizes:

* A byte that finds the receive buffer full is lost without an error (marlin-plain-overflow.txt). Lines move on to the
  command queue while that has room, even during a command. So a host that keeps within 127 bytes and 4 lines
  loses nothing.
* A line is accepted when it is read: number first, then checksum. A refusal flushes the receive buffer, even in the
  middle of a line that is arriving; the rest of that line then counts as a line, mostly an unknown command
  (marlin-plain-lines.txt, "12 short lines at once").
* An accepted line is answered when it has been executed; a move, when it has its place in the planner. While a command
  takes time (its `Wait` yields the time at which it continues), later lines wait, and `busy` is sent every 2 s.
* The EMERGENCY_PARSER's commands skip the queue. Without it, M108, M112 and M410 are seen when their line leaves the
  receive buffer (queue.cpp), so they come too late behind a full queue.

Other firmwares differ by a `Speech`: it has their messages, when they are sent, and the handlers of the commands that
they execute differently. `Receiver` has subclasses for Repetier's line numbers and for MeatPack. The sources of each
are in docs/firmware.md, the dialogues in tests/data/transcripts/. Faults (`faults`) act at fixed points of the chain:
on the bytes of the wire, on the verdict about a line, on an answer; those of the board and the machine act at the
beginning of a step. Without a scenario they cost nothing. The `oracle` records what was accepted and executed; tests
judge by it. With the host, the firmware shares `gcode.framing`, `gcode.command` and the arithmetic of moves (`planner`,
`arcs`); the recorded dialogues keep an error in a shared part from hiding.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence

from hal.simulated import answers, texts
from hal.simulated.board import Board, Wait
from hal.simulated.commands import CommandSet, is_early_move
from hal.simulated.config import FirmwareConfig
from hal.simulated.eeprom import Eeprom
from hal.simulated.emergency import EmergencyParser
from hal.simulated.faults import FaultRecord, Faults
from hal.simulated.heating import Heating
from hal.simulated.meatpack import PackedReceiver
from hal.simulated.oracle import Oracle
from hal.simulated.receiver import LineRefusal, ReceivedLine, Receiver, SkippedLine
from hal.simulated.repetier_receiver import RepetierReceiver
from hal.simulated.sd_card import SdCard
from hal.simulated.texts import PAUSED_FOR_USER
from hal.simulated.visitor import Visitor
from hal.simulated.wire import make_wire

_NO_REASON = "Something went wrong"  # in place of a halt's reason; an empty one means that there is no halt
_URGENT = {"M108", "M112", "M410"}  # without EMERGENCY_PARSER they act when their line enters the queue (queue.cpp)


class Firmware:
    """A simulated firmware and its printer. Times are the device's, in seconds, and never go back.

    The printer is off until the first `reset`.

    Attributes:
        plugged_at: when a pulled cable is plugged in again.
        on_unplug: called when the cable is pulled.
        broken_endstops: axes whose endstop does not trigger; these outlive a reset, as the heat does.
    """

    def __init__(self, config: FirmwareConfig | None = None, oracle: Oracle | None = None) -> None:
        self.config = config or FirmwareConfig()
        self.oracle = oracle or Oracle(keep=0)
        self.now = 0.0
        self.plugged_at = -math.inf
        self.on_unplug: Callable[[], None] | None = None
        config = self.config
        self._to_device = make_wire(config.baudrate, config.latency, config.jitter, f"{config.seed} to device")
        self._to_host = make_wire(config.baudrate, config.latency, config.jitter, f"{config.seed} to host")
        self._flow_control, self._queue_size = config.flow_control, config.queue
        speech = config.speech
        self._line_end, self._ok_again = speech.line_end.encode(), speech.ok_again
        self._oks_at_receipt, self._early_moves = speech.ok_when == "received", speech.early_moves
        self._urgent_codes = _URGENT - speech.lacks
        self._watches_silence = min(speech.lines.asks_after, speech.lines.drops_after) < math.inf
        self._commands = CommandSet(config)
        self.heat = Heating(config)
        self.broken_endstops: set[int] = set()
        self._card = dict(config.sd_files)
        self._eeprom = Eeprom()
        self._faults = Faults(config.scenario, config.seed, self) if config.scenario else None
        self._power_up(boot_at=math.inf)
        self.halted = True

    def _power_up(self, boot_at: float) -> None:
        """Forget everything but the time and the machine."""
        config = self.config
        self.halted = False
        self.heat.restart(self.now)
        self.board = Board(config, self, self.oracle, self.heat)
        self.board.now = self.now
        self.board.sd = SdCard(self.say, self._card)
        self.board.broken_endstops = self.broken_endstops
        self.board.eeprom = self._eeprom
        self._eeprom.load(self.board)
        self._receiver = self._make_receiver()
        self._emergency = EmergencyParser() if config.emergency_parser else None
        self._queue: deque[ReceivedLine] = deque()  # the first of them is running
        self._running: Wait | None = None
        self._resume_at = self._busy_at = math.inf
        self._idle_at = math.inf  # when the next `wait` is due
        self._hung_until: float | None = None
        self._boot_at = boot_at
        self._halt_reason = ""  # of a halt after which the firmware still answers; empty: there is none
        self._late_banner: deque[tuple[float, str]] = deque()
        self._visitor: Visitor | None = None
        self._before_forgotten = 0  # the number of the last line before those that a pause dropped (Prusa)
        self._silent_since = 0.0  # when the host last sent a byte
        if self._faults is not None:
            self._faults.forget()

    def _make_receiver(self) -> Receiver:
        if self.config.meatpack:
            return PackedReceiver(self.config, self.say)
        return RepetierReceiver(self.config) if self.config.speech.lines.numbers == "modulo" else Receiver(self.config)

    # ── for transports ──────────────────────────────────────────────────────────────────────────────────────

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
        return self.output()

    def proceed(self, now: float) -> float:
        """Do everything that is due up to `now`; return the time of the next event. Messages wait for `output`."""
        while (due := self._next()) <= now:
            if due > self.now:
                self.now = self.board.now = due
            self._step()
        if now > self.now:
            self.now = self.board.now = now
        self.board.planner.catch_up(self.now)
        return due

    def output(self) -> bytes:
        """Return the bytes that have reached the host, line by line."""
        return self._to_host.take(self.now) if self._to_host.due <= self.now else b""

    @property
    def next_output(self) -> float:
        """When the next line reaches the host; infinite: there is none."""
        return self._to_host.due

    def next_event(self) -> float | None:
        """Return when `advance` has something to do next; None: only when bytes come."""
        due = min(self._next(), self.next_output)
        return None if due == math.inf else due

    def reset(self, now: float) -> None:
        """Press the reset button, or pulse DTR: the board forgets its state and boots."""
        self.advance_silently(now)
        self._to_device.clear()
        self.board.quick_stop()
        self._power_up(self.now + self.config.boot_time)
        if self._faults is not None:
            self._faults.switch_on()

    def pulse_dtr(self, now: float) -> None:
        """Pulse DTR, as opening the port does, which resets most boards; a board that is off is switched on."""
        if self.config.speech.dtr_resets or (self.halted and self._boot_at == math.inf):
            self.reset(now)

    def advance_silently(self, now: float) -> None:
        """Advance without a host: messages are lost."""
        self.advance(now)
        self._to_host.clear()

    def start_panel_print(self, name: str, size: int) -> None:
        """Begin a print from the SD card, as a user at the panel does."""
        self.board.sd.start(name, size, self.now)

    @property
    def asks_user(self) -> bool:
        """The firmware waits for its user (M0, M600)."""
        return self.board.is_waiting and self.board.busy_reason == PAUSED_FOR_USER

    def press_knob(self) -> None:
        """Press the knob, which ends a wait for the user."""
        if self.asks_user:
            self._act_now("M108")

    @property
    def fault_records(self) -> Sequence[FaultRecord]:
        """The faults that the scenario has caused, up to a limit."""
        return self._faults.records if self._faults is not None else ()

    # ── faults ──────────────────────────────────────────────────────────────────────────────────────────────

    def kill(self, *reasons: str) -> None:
        """Stop the machine because of an error of its own; most firmwares are then silent until a reset."""
        if self.config.speech.stop.halt.by_error:
            self.halt(" ".join(reasons).removeprefix("Error:"))
        else:
            self._stop((*reasons, *self.config.speech.stop.error_lines))

    def _stop(self, lines: Sequence[str]) -> None:
        """Send these lines, stop the machine, and be silent until a reset."""
        if self.halted:
            return
        for line in lines:
            self.say(line)
        self.board.send_action("poweroff")
        self._stop_machine()
        self.halted = True
        self._queue.clear()
        self._running = None
        if self.config.speech.stop.reboots_after < math.inf:
            self.boot(self.config.speech.stop.reboots_after, keep_messages=True)

    def halt(self, text: str) -> None:
        """Stop the machine; the firmware still answers."""
        if self.halted or self._halt_reason:
            return
        text = text or _NO_REASON
        for line in self.config.speech.stop.halt.lines:
            self.say(line.format(text=text))
        report_at = self.board.report_at
        self._stop_machine()
        if not self.config.speech.stop.halt.refuses("M104"):  # Marlin's stop() only sets the targets to 0
            self.heat.restart(self.now)
            self.board.report_at = report_at
        self._halt_reason = text
        if self._running is not None:  # the running command ends here, and is answered
            self.board.end_wait()
            self._running, self._resume_at = iter(()), self.now

    def _stop_machine(self) -> None:
        """Stop all moves, heaters, fans, prints from the card or of another host, and temperature reports."""
        self._visitor = None
        self.board.quick_stop()
        self.board.turn_heaters_off()
        self.board.sd = SdCard(self.say, self._card)
        self._resume_at = self._busy_at = self.board.report_at = math.inf

    def end_halt(self) -> None:
        """End a halt, as M999 does."""
        self._halt_reason = ""
        self.heat.restart(self.now)

    def stop_print(self) -> None:
        """Stop the print at the panel: queued lines are dropped without an ok."""
        self._queue.clear()
        self._running = None
        self._resume_at = self._busy_at = math.inf
        self.board.end_wait()
        self.board.quick_stop()
        self.heat.turn_off(self.now)
        self._note_idle()

    def boot(self, after: float, *, keep_messages: bool = False) -> None:
        """Boot in `after` seconds; earlier messages are lost unless `keep_messages`."""
        self._to_device.clear()
        if not keep_messages:
            self._to_host.clear()
        self.board.quick_stop()
        self._power_up(self.now + after + self.config.boot_time)

    def hang(self, seconds: float) -> None:
        """Do nothing for `seconds`."""
        self._hung_until = self.now + seconds

    def unplug(self, seconds: float) -> None:
        """Pull the cable, and plug it in again after `seconds`."""
        self.plugged_at = self.now + seconds
        self._to_device.clear()
        self._to_host.clear()
        if self.on_unplug is not None:
            self.on_unplug()

    def begin_visit(self, seconds: float) -> None:
        """Have another host print for `seconds`, over its own port, unless the firmware has halted."""
        if not (self.halted or self._halt_reason):
            self._visitor = Visitor(self.now + seconds)
            self._work()

    def pause(self, seconds: float) -> None:
        """Pause the print as the firmware does on its own: ask the host, or (Prusa) drop queued lines without an `ok`.

        After `seconds` the user chooses Resume at the panel, and the firmware asks the host to resume. A firmware that
        has halted does nothing.
        """
        if self.halted or self._halt_reason:
            return
        own_pause = self.config.speech.pause
        self.board.resume_at = self.now + seconds
        if own_pause is None:
            self.board.send_action("pause")
        elif self.board.pause_state is None:
            numbered = sum(line.number is not None for line in self._queue)
            self._queue.clear()
            self._queue.append(ReceivedLine(None, "", quiet=True))
            self._receiver.last_number -= numbered  # so `forget_lines` counts these lines as dropped too
            self._running = own_pause(self.board)
            self._resume()
            self._receiver.last_number += numbered

    def inject(self, command: str) -> None:
        """Run a command of the firmware's own after the running one, unless the firmware has halted."""
        if self.halted or self._halt_reason:
            return
        self._queue.insert(min(1, len(self._queue)), ReceivedLine(None, command, quiet=True))
        self._work()

    # ── events ──────────────────────────────────────────────────────────────────────────────────────────────

    def _next(self) -> float:
        arrival = self._to_device.due
        if self._flow_control and not self._receiver.room:
            arrival = math.inf
        due = min(arrival, self._boot_at, self._resume_at, self._busy_at, self._idle_at, self.board.due)
        if self._watches_silence:
            due = min(due, self._silence_ends())
        if self._late_banner:
            due = min(due, self._late_banner[0][0])
        if self._faults is None:
            return due
        return min(due if self._hung_until is None else self._hung_until, self._faults.due)

    def _silence_ends(self) -> float:
        """Return when the host will have been silent for too long in the middle of a line."""
        if len(self._queue) >= self._queue_size or not self._receiver.is_incomplete:
            return math.inf
        speech = self.config.speech
        return max(self.now, self._silent_since + min(speech.lines.asks_after, speech.lines.drops_after))

    def _end_silence(self) -> None:
        if self._silence_ends() > self.now:
            return
        self._silent_since = self.now
        if self.config.speech.lines.asks_after < math.inf:
            self.resend()
        else:
            self._receiver.forget_partial()
            self.say("RX timeout")

    def _step(self) -> None:
        """Do what is due now, in the order of Marlin's main loop."""
        now = self.now
        if self._faults is not None:
            self._faults.advance()
            if self._hung_until is not None and self._hung_until > now:
                return
            self._hung_until = None
        self._continue_boot()
        if self.board.due <= now:
            self.board.advance()
        self._work()
        if self._resume_at <= now:
            self._resume()
            self._work()
        if self._busy_at <= now:
            self.say(self.config.speech.busy.format(reason=self.board.busy_reason))
            self._busy_at += self.board.busy_interval
        if self._watches_silence:
            self._end_silence()
        if self._idle_at <= now:
            if not self._receiver.is_incomplete:
                self.say("wait")
            self._idle_at = now + self.config.speech.idle_wait

    def _continue_boot(self) -> None:
        if self._boot_at <= self.now:
            self._boot()
        while self._late_banner and self._late_banner[0][0] <= self.now:
            self.say(self._late_banner.popleft()[1])

    def _boot(self) -> None:
        self._boot_at = math.inf
        boot = self.config.speech.boot
        for line in (
            texts.make_banner(self.board.limits, self.board.modal.steps) if boot.banner is None else boot.banner
        ):
            self.say(line)
        self._late_banner.extend((self.now + after, line) for after, line in boot.late_banner)
        self.board.send_action("prompt_end")
        self._note_idle()

    def _work(self) -> None:
        """Read and execute until there is nothing to read or a command takes time."""
        wire, now = self._to_device, self.now
        while (
            (wire.begins <= now and self._take_bytes())
            | (len(self._queue) < self._queue_size and self._has_more and self._read())
            | (self._running is None and bool(self._queue) and self._begin())
        ):
            pass

    @property
    def _has_more(self) -> bool:
        """There may be a line to read."""
        if self._late_banner:
            return False
        return self._receiver.has_bytes or self.board.sd.is_printing or self._visitor is not None

    def _take_bytes(self) -> bool:
        """Move bytes from the wire into the receive buffer."""
        data = self._to_device.take(self.now, self._receiver.room if self._flow_control else None)
        if not data or self.halted or self._boot_at < math.inf:
            return False
        self._silent_since = self.now
        self.oracle.counters.overruns += self._receiver.store(data)
        for code in self._emergency.feed(data) if self._emergency else ():
            self._act_now(code)
        return not self.halted

    def _read(self) -> bool:
        """Fill the command queue from the receive buffer, or else from elsewhere; stop at a refused line."""
        read = False
        while len(self._queue) < self._queue_size and not self.halted:
            if self._faults is not None and self._faults.is_due:
                break
            line = self._receiver.take()
            if line is None:
                return self._read_elsewhere() or read
            read = True
            if self._halt_reason and not self.config.speech.stop.halt.reads and isinstance(line, ReceivedLine):
                self._receiver.last_number -= line.number is not None
                continue
            if self._faults is not None and isinstance(line, ReceivedLine) and self._faults.must_refuse(line.number):
                self._receiver.last_number -= 1
                line = LineRefusal("checksum mismatch")
            if isinstance(line, LineRefusal):
                self._refuse(line)
                break
            if isinstance(line, SkippedLine):
                self._answer_at_once(self.config.speech.lines.repeat_answer.format(number=line.number), "ok")
            else:
                self._accept(line)
        return read

    def _read_elsewhere(self) -> bool:
        """Take a line from the SD card or from another host."""
        command = self.board.sd.take_line() if self.board.sd.is_printing else None
        if command is None and self._visitor is not None:
            command = self._visitor.next_line(self.now)
            self._visitor = None if command is None else self._visitor
        if command is None:
            return False
        self._accept(ReceivedLine(None, command, quiet=True))
        return True

    def _accept(self, line: ReceivedLine) -> None:
        counters = self.oracle.counters
        self.oracle.accept(line.number, line.command, self.now)
        self._queue.append(line)
        counters.max_in_flight = max(counters.max_in_flight, len(self._queue) + self._receiver.line_count)
        if self._oks_at_receipt and not line.quiet:
            self._answer(line.number, "ok" if line.command.startswith("M110") else self._ok(line.number))
        elif self._early_moves and not line.quiet and is_early_move(line.command):
            self._answer(line.number, self._ok(line.number))
        if self._emergency is None and line.command[:4] in self._urgent_codes:
            self._act_now(line.command[:4])
        if self._faults is not None and not line.quiet:
            self._faults.note_accepted(line.number)

    def _act_now(self, code: str) -> None:
        """Act on a command that does not wait in the queue."""
        if code == "M112":
            self._emergency_stop()
        elif code == "M410":
            self.board.quick_stop()
        else:
            self.board.is_waiting = False
        if self._running is not None:
            self._resume_at = self.now  # the running command notices

    def _emergency_stop(self) -> None:
        speech = self.config.speech
        if speech.stop.m112_reboots:
            self.boot(0.0, keep_messages=True)
        elif not speech.stop.halt.by_m112:
            self._stop(speech.stop.m112_lines)
        elif not speech.stop.halt.m112_waits:
            self.halt(speech.stop.halt.by_m112)

    def _answer_at_once(self, *lines: str) -> None:
        for line in lines:
            self.say(line)

    def _refuse(self, refusal: LineRefusal) -> None:
        counters = self.oracle.counters
        if refusal.reason.startswith("Line Number"):
            counters.out_of_order += 1
        else:
            counters.bad_checksums += 1
        self.resend(refusal)

    def resend(self, refusal: LineRefusal | None = None) -> None:
        """Send a resend request, for a refused line or, without a refusal, as M999 does."""
        self.oracle.counters.resends += 1
        if self.config.speech.lines.flushes:
            self._receiver.flush()
        self._answer_at_once(*answers.resend_request(self.config.speech, refusal, self._receiver))
        self._receiver.note_request()

    def acknowledge(self) -> None:
        """Send the `ok` of the running command, before its end."""
        if self._queue and not self._queue[0].quiet:
            self._answer(self._queue[0].number, self._ok(self._queue[0].number))
        self.board.answer_line = ""

    def forget_lines(self) -> None:
        """Drop all moves, and the lines after the running command, for `resend_forgotten`."""
        self._before_forgotten = self._receiver.last_number - self.board.forget_moves()
        while len(self._queue) > 1:
            self._before_forgotten -= self._queue.pop().number is not None

    def resend_forgotten(self) -> None:
        """Send a resend request for the dropped lines."""
        self._receiver.last_number = self._before_forgotten
        self.resend()

    def set_line_number(self, number: int) -> None:
        """Set the number of the last line (M110)."""
        self._receiver.last_number = number

    # ── executing ───────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> bool:
        """Begin the first command of the queue if none is running."""
        if self._running is not None or not self._queue or (self._faults is not None and self._faults.is_due):
            return False
        if self._boot_at < math.inf:
            return False  # a fault's command waits until the board has booted
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
        halt = self.config.speech.stop.halt
        if self._halt_reason and halt.refuses(self._commands.code_of(text)):
            self._answer_at_once(*(line.format(text=self._halt_reason) for line in halt.answer))
            self.board.answer_line = None if halt.has_ok else ""
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
        """Run the current command until it takes time again."""
        running = self._running
        if running is None:
            return
        resume_at = next(running, -math.inf)
        if self._running is not running:
            return  # the command has halted the firmware, and so has ended
        self._resume_at = resume_at
        if resume_at == -math.inf:
            self._finish()

    def _finish(self) -> None:
        """Answer the first command of the queue, and remove it."""
        if self._faults is not None and not self.halted and (late := self._delay(self._faults)):
            self._running, self._resume_at, self._busy_at = iter((self.now + late,)), self.now, math.inf
            return
        self._running = None
        self._resume_at = self._busy_at = math.inf
        if self.halted:
            return
        line, board = self._queue[0], self.board
        if not (line.quiet or self._oks_at_receipt or (self._early_moves and is_early_move(line.command))):
            self._answer(line.number, self._ok(line.number) if board.answer_line is None else board.answer_line)
        board.answer_line = None
        self._queue.popleft()
        if self._ok_again and line.command[:4] in self._ok_again and self._queue and not self._queue[0].quiet:
            self.say("ok")
        if board.restart_due:
            self._restart()
        elif not self._queue:
            self._note_idle()

    def _delay(self, faults: Faults) -> float:
        """Return by how many seconds the faults delay the answer to the first line of the queue."""
        return 0.0 if self._queue[0].quiet else faults.answer_delay(self._queue[0].number)

    def _answer(self, number: int | None, text: str) -> None:
        if not text:
            return
        for _ in range(1 if self._faults is None else self._faults.answer_count(number)):
            self.say(text)

    def _ok(self, number: int | None) -> str:
        free = self.board.planner.count_free(self.now) if self.config.advanced_ok else 0
        room = self._queue_size - len(self._queue)
        return answers.acknowledgement(self.config, number, self._receiver.last_seen, free, room)

    def _restart(self) -> None:
        """Restart by the firmware's own command, as FIRMWARE_RESTART does."""
        self._power_up(self.now + self.config.restart_time)
        for line in self.config.speech.boot.restart_lines:
            self.say(line)

    def _note_idle(self) -> None:
        if self.config.speech.idle_wait:
            self._idle_at = self.now + self.config.speech.idle_wait

    def say(self, text: str) -> None:
        """Send a line to the host."""
        if self.halted:
            return
        data = text.encode() + self._line_end
        if self._faults is None:
            self._to_host.send(data, self.now)
        else:
            for piece, late in self._faults.damage_to_host(data):
                self._to_host.send(piece, self.now + late)
