"""Packing: the form of the link's frames on the wire if the firmware has a decoder that unpacks them (MeatPack).

The link knows only the frames. Here they are packed, and the orders are added that put the decoder into the state in
which they will be read. A lost or damaged byte, or a flush of the receive buffer, may put the decoder out of step, and
nobody can see whether it has. So whatever goes out behind a resend request or a probe begins with RESET. The firmware
reports the state of its decoder, which is compared with the state that it should be in.

     in step ── resend request, probe, wrong state ───────▶ out of step
        ▲                                                       │
        └────────── RESET, BLANKS, PACK before the next frame ──┘
"""

import re
from typing import Final

from gcode.frozen import frozen
from gcode.meatpack import Decoder, PackOrder, literals, order, pack
from gcode.outgoing import LinkNotice

RESET: Final = order(PackOrder.RESET)
"""Puts the decoder back into its first state, in which it unpacks nothing; no line is executed by it. To a firmware
without a decoder it is noise of three bytes before the next line feed."""

BEGIN: Final = RESET + order(PackOrder.BLANKS) + order(PackOrder.PACK)
"""The same, and then turns unpacking on. BLANKS is repeated, as Marlin's reset forgets how blanks are packed."""

FRAMING = 14
"""Bytes of a frame besides its command: N, number, blank, *, checksum and line feed."""

PLAIN_WAY = len(RESET) + 1 + len(BEGIN)
"""Bytes of the orders around a line that goes unpacked between packed ones."""

LONG_DOUBT = 2.0
"""Seconds until a wrong state of the decoder is looked at again, while a long command runs."""

DOUBT = 0.5
"""Seconds for which the decoder may report a wrong state: orders on the wire may still put it right."""

MOST_REFUSALS = 3
"""Times that one line is refused before lines go unpacked."""

MOST_DOUBTS = 3
"""Times that the decoder is in a wrong state for too long before lines go unpacked."""

MOST_TROUBLE = 5
"""Resend requests, each less than CALM answered lines behind the one before, until lines go unpacked. A damaged line
passes the checksum more often if it is packed, so packing is only for a line with few errors."""

CALM = 1000
"""Lines answered since the last resend request that make the line count as clean again."""

_TOLD = re.compile(rb" *\[MP\] *PV\d+ +(ON|OFF) +(ESP|NSP) *\Z")


@frozen
class DecoderSaid:
    """The state of its decoder, which a firmware reports after each order: it unpacks; blanks are kept (ESP)."""

    unpacks: bool
    blanks: bool


def decoder_said(line: bytes) -> DecoderSaid | None:
    """Return what a line says of the decoder; None: nothing."""
    match = _TOLD.match(line)
    return DecoderSaid(match[1] == b"ON", match[2] == b"ESP") if match is not None else None


class Packed(bytes):
    """A frame as it goes on the wire; `text` is the frame."""

    text: bytes


def packed(text: bytes, wire: bytes) -> Packed:
    """Return a frame together with the bytes that go on the wire for it."""
    made = Packed(wire)
    made.text = text
    return made


def text_of(raw: bytes) -> bytes:
    """Return the frame as text, whether it was packed or not."""
    return raw.text if isinstance(raw, Packed) else raw


def text_on_wire(wire: bytes) -> bytes:
    """Return the text in what one write has put on the wire: orders are left out, packed lines unpacked.

    A write begins with an order or a line. Packed lines have a number, so they begin with a byte for an N to follow;
    no unpacked line does.
    """
    if wire.isascii() and wire[:1] != b"\xff" and (wire[1:2] != b"N" or wire[0] & 15 != 15):  # noqa: PLR2004 - what says that the N follows as it is
        return wire
    decoder = Decoder()
    decoder.packing = wire[0] & 15 == 15 and wire[1:2] == b"N"  # noqa: PLR2004 - as above
    return decoder.feed(wire)


class Packer:
    """The form of the frames of one conversation: text, until the firmware has a decoder that is in use.

    Attributes:
        used: the firmware has a decoder. Even if lines go unpacked, it may be waiting for packed bytes, as the previous
            host left it so, or an order was lost: so it is reset whenever something is wrong.
        on: lines go packed.
        in_step: as far as can be known, the decoder is in the state that it should be in.
        doubt_at: when a wrong state that it has reported will have lasted too long; None: its state is right.
    """

    __slots__ = ("_calm_from", "_doubts", "_trouble", "_why", "doubt_at", "in_step", "on", "used")

    def __init__(self, *, on: bool | None = None) -> None:
        """Begin; `on` says that the decoder has just confirmed BEGIN, None that there is none."""
        self.used = on is not None
        self.on = self.in_step = bool(on)
        self.doubt_at: float | None = None
        self._why = ""  # the reason why lines go unpacked; empty once the user was told
        self._doubts = self._trouble = 0
        self._calm_from = 0

    # -- what is sent --------------------------------------------------------------------------------------

    def size(self, command: bytes) -> int:
        """Return the most bytes that the frame of a command takes in the receive buffer."""
        if not self.used:
            return len(command) + FRAMING
        lead = 0 if self.in_step else len(BEGIN)
        if not self.on:
            return len(command) + FRAMING + lead
        return (len(command) + FRAMING + 1) // 2 + literals(command) + 2 + lead

    def size_plain(self, command: bytes) -> int:
        """Return the most bytes that it takes if it goes unpacked between packed ones."""
        return len(command) + FRAMING + (PLAIN_WAY if self.used else 0)

    def fits(self, command: bytes, taken: int, most: int) -> bool:
        """Tell whether the frame of a command fits into `most` bytes of which `taken` are taken."""
        length = len(command)
        # two thirds of a compact move at most are letters and signs, so it packs into 1/2 + 2/3 of its length at most
        if command[:3] == b"G1X" and self.in_step and taken + length + (length >> 2) + FRAMING <= most:
            return True
        return taken + self.size(command) <= most

    def frame(self, text: bytes) -> bytes:
        """Return a frame as it goes now."""
        if self.in_step:
            return packed(text, pack(text)) if self.on else text
        self.in_step = True
        self.doubt_at = None
        return packed(text, BEGIN + pack(text) if self.on else RESET + b"\n" + text)

    def plain(self, text: bytes) -> Packed:
        """Return a frame that goes unpacked between others.

        EMERGENCY_PARSER sees the bytes before the decoder does, and takes the orders for the beginning of a line: the
        line feed ends that.
        """
        wire = RESET + b"\n" + text
        if self.on:
            wire += BEGIN
        self.in_step = True
        return packed(text, wire)

    def probe(self, raw: bytes) -> bytes:
        """Return a probe, which begins with a line feed, as it goes: unpacked."""
        if not self.used:
            return raw
        self.lose_step()
        return RESET + raw

    # -- doubts --------------------------------------------------------------------------------------------

    def lose_step(self) -> None:
        """Take note that nobody knows which state the decoder is in: the next frame resets it."""
        self.in_step = False
        self.doubt_at = None

    def note(self, said: DecoderSaid, now: float) -> None:
        """Take note of the state that the firmware reports after each order."""
        if not self.used:
            return
        if not self.in_step or (said.unpacks == self.on and said.blanks):
            self.doubt_at = None
        elif self.doubt_at is None:
            self.doubt_at = now + DOUBT

    def look(self, now: float, *, may_be_silent: bool) -> bool:
        """Tell whether its state has been wrong for too long: then the link has to probe for the lines in flight.

        Args:
            now: the time.
            may_be_silent: a long command runs; the firmware may not have read yet the order that puts it right.
        """
        if self.doubt_at is None or now < self.doubt_at:
            return False
        if may_be_silent:
            self.doubt_at = now + LONG_DOUBT
            return False
        self.lose_step()
        self._doubts += 1
        if self._doubts >= MOST_DOUBTS:
            self.give_up("its decoder keeps leaving the state that was asked for")
        return True

    def requested(self, refusals: int, acknowledged: int) -> None:
        """Take note of a resend request for a line that was refused `refusals` times.

        Args:
            refusals: of this line.
            acknowledged: lines of the conversation so far.
        """
        self.lose_step()
        calm, self._calm_from = acknowledged - self._calm_from, acknowledged
        self._trouble = self._trouble + 1 if calm < CALM else 1
        if refusals >= MOST_REFUSALS:
            self.give_up("it keeps refusing a line")
        elif self._trouble >= MOST_TROUBLE:
            self.give_up("it asks for too many lines again")

    def give_up(self, why: str) -> None:
        """Send lines unpacked for the rest of the conversation."""
        if self.on:
            self.on, self._why = False, why
            self.lose_step()

    def notices(self) -> list[LinkNotice]:
        """Return what the user has to know, once."""
        why, self._why = self._why, ""
        return [LinkNotice(f"lines go unpacked from here on (MeatPack is off): {why}")] if why else []
