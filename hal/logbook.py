"""Logbook: what the next host needs to reattach to this host's print, in memory that outlives the process.

It has two parts in one mapped file on a tmpfs (in anonymous memory if there will be no next host):

* a ring of the last frames, each written before it goes on the wire. The printer reports the last line that it
  accepted; the ring turns that number into a place in the file, and holds the lines to send again.
* the job's snapshot, a small JSON document, written rarely, to two areas in turn, the halves. Its generation is a
  number that grows with each snapshot.

Neither costs a system call. The process may be killed between any two bytes: a frame is valid once its number is
written behind it, and a snapshot once its checksum is written. Until then the previous snapshot is valid.
"""

import errno
import fcntl
import json
import mmap
import os
import struct
from binascii import crc32
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gcode.framing import number_of, without_number
from gcode.frozen import frozen
from gcode.link import HISTORY, LinkSnapshot, Permission, Sent
from gcode.modes import Modes
from gcode.outgoing import JobPlace, Ticket

MAX_FRAME = 112
"""Bytes of a frame that fit into its slot; most firmwares read no more than 96."""

MAX_LONG_FRAME = 272
"""Bytes of the longest frame that is stored; RepRapFirmware reads 256. The bytes beyond MAX_FRAME are stored behind the
ring."""

HALF_SIZE = 32 * 1024
"""Bytes for one snapshot of a job, with its head."""

UNREADABLE = {"unreadable": True}
"""Stands for a snapshot that this version cannot read. Unlike None, it means that there was a print."""

_SLOT = struct.Struct(f"<I I Q I I b 16s B {MAX_FRAME}s I")
_put = _SLOT.pack_into
_MODES = struct.Struct("<B b h 12s")  # of a slot
_SIZE = 160  # of a slot
_NUMBER = struct.Struct("<I")
_HEAD = struct.Struct("<Q I I")  # of a half: generation, length, checksum
_GENERATION = struct.Struct("<Q")
_FRAMES = 2 * HALF_SIZE  # the ring starts behind the two halves
_TAILS = _FRAMES + HISTORY * _SIZE  # of long frames; older versions do not read them
_TAIL = struct.Struct(f"<I H {MAX_LONG_FRAME - MAX_FRAME}s I")
_TAIL_SIZE = 176
_PACKED = _TAILS + HISTORY * _TAIL_SIZE  # the byte for `may_expect_packed`; older versions do not read it
_TOTAL = _PACKED + 8
_RELATIVE, _RELATIVE_E, _INCHES, _MILLIMETRES, _HOMED, _M83 = 1, 2, 4, 8, 16, 32
_HAS_M83 = 64  # the host that wrote the slot knew _M83


@frozen
class Anchor:
    """Ties a number on the wire to a place in the file: the file continues with the line after this number.

    Attributes:
        number: of a line, on the wire.
        place: the job's place at that line.
        modes: those in force after that line.
    """

    number: int
    place: JobPlace
    modes: Modes


class _Slot(NamedTuple):
    """A frame as it is stored; `again` repeats `number` at the end, which shows that the slot is complete."""

    number: int
    answered: int
    offset: int
    lines: int
    step: int
    of_job: int
    modes: bytes
    length: int
    raw: bytes
    again: int


class Logbook:
    """The ring and the job's snapshot. One host writes; the next one reads before it writes."""

    def __init__(self, path: Path | None = None) -> None:
        """Map the file, creating it if necessary; None: use memory of this process only.

        Raises:
            OSError: the file cannot be created or mapped, or another process uses it.
        """
        if path is None:
            self._map = mmap.mmap(-1, _TOTAL)
        else:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                _lock(fd, path)
                os.ftruncate(fd, _TOTAL)
                os.posix_fallocate(fd, 0, _TOTAL)  # so that a full file system cannot kill the process (SIGBUS) later
                self._map = mmap.mmap(fd, _TOTAL)
            finally:
                os.close(fd)
        self._generation = max(self._generation_of(0), self._generation_of(1))
        self._permits: Permission = lambda _ticket, _waiting: True
        self._lines = self._offset = 0  # of the job, at the last line sent
        self._modes = _pack_modes(Modes())  # after that line

    # -- the ring ------------------------------------------------------------------------------------------

    def note(self, sent: Sent, answered: int, modes: Modes | None) -> None:
        """Record a frame that is about to go on the wire; a `gcode.link.LineRecorder`."""
        number, raw, lines, offset, ticket = sent
        length, step, of_job = len(raw), 0, 1
        if ticket is None:
            self._lines, self._offset = lines, offset
        else:
            lines, offset, step, of_job = self._lines, self._offset, ticket.step, 0
        if modes is not None:
            self._modes = _pack_modes(modes)
        if length > MAX_FRAME:
            self._note_tail(number, raw[MAX_FRAME:])
            length = 0  # an older version takes this slot for a gap
        at = _FRAMES + number % HISTORY * _SIZE
        _put(self._map, at, number, answered, offset, lines, step, of_job, self._modes, length, raw, number)

    def _note_tail(self, number: int, tail: bytes) -> None:
        """Record the bytes of a frame that do not fit into its slot."""
        length = len(tail) if len(tail) <= MAX_LONG_FRAME - MAX_FRAME else 0
        _TAIL.pack_into(self._map, _TAILS + number % HISTORY * _TAIL_SIZE, number, length, tail, number)

    @property
    def may_expect_packed(self) -> bool:
        """The firmware may be waiting for packed bytes, because of an order of this host or the previous one."""
        return self._map[_PACKED] != 0

    @may_expect_packed.setter
    def may_expect_packed(self, value: bool) -> None:
        self._map[_PACKED] = value

    def begin(self) -> None:
        """Erase the frames: a new conversation starts with line 1, unpacked."""
        self._map[_FRAMES:_TOTAL] = bytes(_TOTAL - _FRAMES)
        self._lines = self._offset = 0
        self._modes = _pack_modes(Modes())

    def snapshot(self) -> LinkSnapshot | None:
        """Return the snapshot of the conversation; None: the frames are incomplete."""
        slots = self._complete_slots()
        if not slots or slots[-1].answered + 1 < slots[0].number:
            return None  # a line that the printer may request is missing
        last = slots[-1]
        answered = last.answered
        accepted = next((slot for slot in slots if slot.number == answered), None)
        return LinkSnapshot(
            sent=[_sent(slot) for slot in slots],
            answered=answered,
            place=JobPlace(accepted.lines, accepted.offset) if accepted else JobPlace(),
            fed=JobPlace(last.lines, last.offset),
            modes=_unpack_modes(last.modes),
        )

    def _complete_slots(self) -> list[_Slot]:
        """Return the newest slots without a gap, oldest first; a frame that was too long to store is a gap."""
        slots = {slot.number: slot for slot in map(self._slot, range(HISTORY)) if slot is not None}
        number, newest = max(slots, default=0), []
        while (slot := slots.get(number)) is not None and (raw := self._raw(slot)):
            newest.append(slot._replace(raw=raw))
            number -= 1
        return newest[::-1]

    def _raw(self, slot: _Slot) -> bytes:
        """Return the frame of a slot; empty: it was too long to store."""
        if slot.length:
            return slot.raw[: slot.length]
        number, length, tail, again = _TAIL.unpack_from(self._map, _TAILS + slot.number % HISTORY * _TAIL_SIZE)
        complete = length and number == again == slot.number
        return slot.raw + bytes(tail[:length]) if complete else b""

    def begin_job(self) -> None:
        """Start a job at its first line."""
        self._lines = self._offset = 0

    def anchor(self, answered: int) -> "Anchor | None":
        """Return the anchor at `answered`, the number of the last line answered.

        None: its place is unknown, or a later line is not the job's, so numbers can no longer be turned into places.
        """
        slots = {slot.number: slot for slot in map(self._slot, range(HISTORY)) if slot is not None}
        number, at = answered + 1, slots.get(answered)
        while (slot := slots.get(number)) is not None:
            if not slot.of_job:
                return None
            number += 1
        if at is None or number <= max(slots):
            return None
        on_wire = number_of(at.raw)
        if on_wire is None:
            return None
        return Anchor(on_wire, JobPlace(at.lines, at.offset), _unpack_modes(at.modes))

    def set_place(self, place: JobPlace, modes: Modes) -> None:
        """Set the job's place and the modes at the last line sent, if the previous host did not record them here.

        So far only commands were sent, and they were recorded without the place.
        """
        self._lines, self._offset = lines, offset = place.lines, place.offset
        self._modes = _pack_modes(modes)
        for index in range(HISTORY):
            if (slot := self._slot(index)) is not None:
                # the next host takes the place from the last frame, and there may be no other one
                slot = slot._replace(lines=lines, offset=offset, modes=self._modes)
                _put(self._map, _FRAMES + index * _SIZE, *slot)

    @property
    def sent_place(self) -> JobPlace:
        """The job's place at the last line sent."""
        return JobPlace(self._lines, self._offset)

    def ask_before_commands(self, permits: Permission) -> None:
        """Ask `permits` before each command goes between the lines of a job."""
        self._permits = permits

    def may_go(self, ticket: Ticket, waiting: int) -> bool:
        """Tell whether a command may go between the lines of a job now; a `gcode.link.Permission`."""
        return self._permits(ticket, waiting)

    def reattach(self, snapshot: LinkSnapshot) -> None:
        """Continue where the previous host stopped."""
        self._lines, self._offset = snapshot.fed.lines, snapshot.fed.offset
        self._modes = _pack_modes(snapshot.modes)

    def _slot(self, index: int) -> _Slot | None:
        slot = _Slot._make(_SLOT.unpack_from(self._map, _FRAMES + index * _SIZE))
        complete = slot.number and slot.number == slot.again and slot.number % HISTORY == index
        return slot if complete else None

    # -- the job's snapshot --------------------------------------------------------------------------------

    def write(self, snapshot: Mapping[str, Any]) -> bool:
        """Replace the job's snapshot; False: it is too long, and none is stored now."""
        text = json.dumps(snapshot, separators=(",", ":")).encode()
        fits = len(text) <= HALF_SIZE - _HEAD.size
        if not fits:
            text = b""
        self._generation += 1
        at = self._generation % 2 * HALF_SIZE
        self._map[at + _HEAD.size : at + _HEAD.size + len(text)] = text
        _HEAD.pack_into(self._map, at, self._generation, len(text), _checksum(self._generation, text))
        return fits

    def read(self) -> dict[str, Any] | None:
        """Return the job's snapshot; None: there is none; UNREADABLE: this version cannot read it."""
        for index in sorted((0, 1), key=self._generation_of, reverse=True):
            if self._generation_of(index):
                text = self._text_of(index)
                return _snapshot(text) if text else None
        return None

    def _text_of(self, index: int) -> bytes:
        _, length, _ = _HEAD.unpack_from(self._map, index * HALF_SIZE)
        begin = index * HALF_SIZE + _HEAD.size
        return self._map[begin : begin + min(length, HALF_SIZE - _HEAD.size)]

    def _generation_of(self, index: int) -> int:
        """Return the generation of the snapshot in this half; 0: it is incomplete."""
        generation, _, checksum = _HEAD.unpack_from(self._map, index * HALF_SIZE)
        return int(generation) if generation and _checksum(generation, self._text_of(index)) == checksum else 0

    def close(self) -> None:
        """Unmap the memory; the file keeps its content."""
        self._map.close()


def _lock(fd: int, path: Path) -> None:
    """Lock the file for as long as it is mapped, at most until the process ends.

    Without systemd all daemons of a user have the same file: a second daemon would think that the first
    had left its print to it, and erase the frames.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(errno.EBUSY, "another daemon of this user uses it", str(path)) from None


def _snapshot(text: bytes) -> dict[str, Any]:
    try:
        snapshot = json.loads(text)
    except (ValueError, RecursionError):
        return UNREADABLE
    return snapshot if isinstance(snapshot, dict) else UNREADABLE


def _checksum(generation: int, text: bytes) -> int:
    """Return the checksum of a snapshot and its generation, so that a new head before an old text does not match."""
    return crc32(text, crc32(_GENERATION.pack(generation)))


def _pack_modes(modes: Modes) -> bytes:
    units = 0 if modes.inches is None else _INCHES if modes.inches else _MILLIMETRES
    return _MODES.pack(
        modes.relative | modes.relative_e << 1 | units | modes.homed << 4 | modes.m83 << 5 | _HAS_M83,
        -1 if modes.tool is None else modes.tool,
        -1 if modes.fan is None else modes.fan,
        modes.feedrate,
    )


def _unpack_modes(packed: bytes) -> Modes:
    flags, tool, fan, feedrate = _MODES.unpack(packed)
    return Modes(
        relative=bool(flags & _RELATIVE),
        relative_e=bool(flags & _RELATIVE_E),
        inches=True if flags & _INCHES else False if flags & _MILLIMETRES else None,
        feedrate=feedrate.rstrip(b"\0"),
        tool=None if tool < 0 else tool,
        fan=None if fan < 0 else fan,
        homed=bool(flags & _HOMED),
        m83=bool(flags & (_M83 if flags & _HAS_M83 else _RELATIVE_E)),  # an older host noted `relative_e` only
    )


def _sent(slot: _Slot) -> Sent:
    if slot.of_job:
        return slot.number, slot.raw, slot.lines, slot.offset, None
    return slot.number, slot.raw, -1, -1, Ticket(without_number(slot.raw).rpartition(b"*")[0], step=slot.step)
