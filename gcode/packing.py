"""Packing: what stands between the link's frames and the wire where the firmware unpacks (MeatPack).

Frames stay what they are; here they get the form in which they go, and the orders by which the decoder is where the
link believes it to be. The decoder is out of step behind every byte that was lost or damaged, and behind a flush of the
receive buffer; nobody can say whether it is. So whatever goes out behind a request to resend, or behind a probe,
begins with its reset. What the firmware says about its decoder is compared with what it ought to be.

     in step ──── request, probe, wrong state told ───────▶ out of step
        ▲                                                       │
        └────────── RESET, BLANKS, PACK before the next frame ──┘
"""

import re
from typing import Final

from gcode.frozen import frozen
from gcode.meatpack import Decoder, PackOrder, literals, order, pack
from gcode.outgoing import LinkNotice

RESET: Final = order(PackOrder.RESET)
"""Puts the decoder into its first state, unpacked, from any other, and executes nothing. To a firmware without one it
is three bytes of noise before the next line feed."""

BEGIN: Final = RESET + order(PackOrder.BLANKS) + order(PackOrder.PACK)
"""The same, and packed lines follow. Marlin's reset forgets the table of what a blank is, so it is told."""

FRAMING = 14
"""Bytes of text of N, number, blank, *, checksum and line feed."""

PLAIN_WAY = len(RESET) + 1 + len(BEGIN)
"""Bytes around a line that goes unpacked between packed ones."""

LONG_DOUBT = 2.0
"""Seconds between two looks at the state of a decoder, while a command runs that takes long."""

DOUBT = 0.5
"""Seconds for which the decoder may be in another state than it ought to be: orders in flight put it right."""

MOST_REFUSALS = 3
"""Times that one line is refused before lines go unpacked."""

MOST_DOUBTS = 3
"""Times that the decoder has been in another state than it ought to be before they do."""

MOST_TROUBLE = 5
"""Requests with fewer than CALM answered lines between each and the next before they do: of damaged packed lines more
pass the checksum than of others, so they are for a line that is clean."""

CALM = 1000

_TOLD = re.compile(rb" *\[MP\] *PV\d+ +(ON|OFF) +(ESP|NSP) *\Z")


@frozen
class DecoderSaid:
    """What a firmware says of its decoder behind each order: whether it unpacks, whether a blank is a blank."""

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
    """Return a frame with the form in which it goes."""
    made = Packed(wire)
    made.text = text
    return made


def text_of(raw: bytes) -> bytes:
    """Return the frame, in whatever form it went."""
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
    """One conversation: its frames go as they are until the firmware unpacks, or may be about to.

    Attributes:
        used: the firmware has a decoder at work. Where lines do not go packed, it may be waiting for packed bytes all
            the same, by an earlier host's order or as an order was lost: it is reset whenever something is wrong.
        on: lines go packed.
        in_step: the decoder is where it ought to be, as far as can be known.
        doubt_at: when its state, as told, has been wrong for too long; None: it is right.
    """

    __slots__ = ("_calm_from", "_doubts", "_trouble", "_why", "doubt_at", "in_step", "on", "used")

    def __init__(self, *, on: bool | None = None) -> None:
        """Begin; `on` says that the decoder has just confirmed BEGIN, None that there is none."""
        self.used = on is not None
        self.on = self.in_step = bool(on)
        self.doubt_at: float | None = None
        self._why = ""  # lines go unpacked because of this, which is still to be told
        self._doubts = self._trouble = 0
        self._calm_from = 0

    # -- what goes -----------------------------------------------------------------------------------------

    def size(self, command: bytes) -> int:
        """Return the most bytes that the frame of a command takes in the receive buffer."""
        if not self.used:
            return len(command) + FRAMING
        lead = 0 if self.in_step else len(BEGIN)
        if not self.on:
            return len(command) + FRAMING + lead
        return (len(command) + FRAMING + 1) // 2 + literals(command) + 2 + lead

    def size_plain(self, command: bytes) -> int:
        """Return the most that it takes where it goes unpacked between others."""
        return len(command) + FRAMING + (PLAIN_WAY if self.used else 0)

    def fits(self, command: bytes, taken: int, most: int) -> bool:
        """Tell whether the frame of a command fits `most` bytes of which so many are taken."""
        length = len(command)
        # a move's letters and signs are two thirds of it at most: that is how long it may get
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

        EMERGENCY_PARSER sees the bytes before the decoder does; the line feed ends what it takes the orders for.
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

    # -- what is wrong -------------------------------------------------------------------------------------

    def lose_step(self) -> None:
        """Take note that nobody knows where the decoder is."""
        self.in_step = False
        self.doubt_at = None

    def note(self, said: DecoderSaid, now: float) -> None:
        """Take what the firmware says of its decoder; it says so behind each order, before the next one."""
        if not self.used:
            return
        if not self.in_step or (said.unpacks == self.on and said.blanks):
            self.doubt_at = None
        elif self.doubt_at is None:
            self.doubt_at = now + DOUBT

    def look(self, now: float, *, may_be_silent: bool) -> bool:
        """Tell whether its state was wrong for too long: what has become of the lines in flight has to be asked.

        Args:
            now: the time.
            may_be_silent: a command runs that takes long; it may not have read the order yet that puts it right.
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
        """Take note of a request to resend: for a line that was sent `refusals` times, behind so many answered ones."""
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
