"""Packing: the form of frames on the wire for a firmware with a decoder that unpacks them (MeatPack).

The link knows only frames. A `Packer` packs them, and adds the orders that put the decoder into the right state. A lost
or damaged byte, or a flush of the receive buffer, may put the decoder out of step, which the host cannot see. So the
first frame after a resend request or a probe begins with RESET. The firmware reports the state of its decoder after
each order, and the packer compares it with the state that the decoder should be in.

     in step ── resend request, probe, wrong state ───────▶ out of step
        ▲                                                       │
        └────────── RESET, BLANKS, PACK before the next frame ──┘
"""

import re
from typing import Final

from gcode.frozen import frozen
from gcode.meatpack import Decoder, PackOrder, count_literals, order_bytes, pack
from gcode.outgoing import LinkNotice

RESET: Final = order_bytes(PackOrder.RESET)
"""Puts the decoder into its initial state, in which it unpacks nothing; executes no line. To a firmware without a
decoder these are three bytes of noise before the next line feed."""

BEGIN: Final = RESET + order_bytes(PackOrder.BLANKS) + order_bytes(PackOrder.PACK)
"""Resets the decoder and turns unpacking on. BLANKS comes every time: Marlin's reset forgets how blanks are packed
(feature/meatpack.cpp, `reset_state`)."""

FRAMING = 14
"""Bytes of a frame without its command: N, number, blank, *, checksum and line feed."""

PLAIN_ORDERS = len(RESET) + 1 + len(BEGIN)
"""Bytes of the orders around an unpacked line between packed ones."""

LONG_DOUBT_S = 2.0
"""Seconds until a wrong state of the decoder is checked again while a long command runs."""

DOUBT_S = 0.5
"""Seconds for which the decoder may report a wrong state: orders on the wire may still correct it."""

MAX_REFUSALS = 3
"""After this many refusals of one line, packing is turned off."""

MAX_DOUBTS = 3
"""After this many wrong states of the decoder, each for too long, packing is turned off."""

MAX_TROUBLE = 5
"""After this many resend requests, with fewer than CALM answered lines between each and the next, packing is turned
off. A damaged line is more likely to pass the checksum if it is packed, so packing is only for a wire with few
errors."""

CALM = 1000
"""Lines answered since the last resend request after which the wire counts as clean again."""

_STATE = re.compile(rb" *\[MP\] *PV\d+ +(ON|OFF) +(ESP|NSP) *\Z")


@frozen
class DecoderState:
    """The state of its decoder, as a firmware reports it after each order.

    Attributes:
        unpacks: it unpacks lines (`ON`).
        blanks: packed lines have blanks (`ESP`).
    """

    unpacks: bool
    blanks: bool


def decoder_state(line: bytes) -> DecoderState | None:
    """Return the state that a line reports; None: it reports none."""
    match = _STATE.match(line)
    return DecoderState(match[1] == b"ON", match[2] == b"ESP") if match is not None else None


class Packed(bytes):
    """The bytes on the wire of a packed frame; `text` is the frame."""

    text: bytes


def attach_text(text: bytes, wire: bytes) -> Packed:
    """Return a frame together with its bytes on the wire."""
    result = Packed(wire)
    result.text = text
    return result


def text_of(raw: bytes) -> bytes:
    """Return a frame as text, packed or not."""
    return raw.text if isinstance(raw, Packed) else raw


def text_on_wire(wire: bytes) -> bytes:
    """Return the text of one write to the wire: without orders, and with packed lines unpacked.

    A write begins with an order or a line. A packed line has a number, so its first byte says that an unpacked N
    follows; no unpacked line begins with such a byte.
    """
    if wire.isascii() and wire[:1] != b"\xff" and (wire[1:2] != b"N" or wire[0] & 15 != 15):  # noqa: PLR2004 - the half byte for an unpacked character
        return wire
    decoder = Decoder()
    decoder.unpacks = wire[0] & 15 == 15 and wire[1:2] == b"N"  # noqa: PLR2004 - as above
    return decoder.feed(wire)


class Packer:
    """The form of the frames of one conversation: text, or packed for a decoder.

    Attributes:
        has_decoder: the firmware has a decoder. Even if lines go unpacked, the decoder may be waiting for packed bytes
            because of the previous host or a lost order, so it is reset whenever something is wrong.
        packs: lines go packed.
        in_step: the decoder is in the right state, as far as the host can know.
        doubt_due: until when the decoder may be in the wrong state that it has reported; None: there is no doubt.
    """

    __slots__ = ("_calm_from", "_doubts", "_reason", "_trouble", "doubt_due", "has_decoder", "in_step", "packs")

    def __init__(self, *, packs: bool | None = None) -> None:
        """Begin. `packs`: the decoder has just confirmed BEGIN; None: there is no decoder."""
        self.has_decoder = packs is not None
        self.packs = self.in_step = bool(packs)
        self.doubt_due: float | None = None
        self._reason = ""  # why packing was turned off; empty once the user was told
        self._doubts = self._trouble = 0
        self._calm_from = 0

    # -- what is sent --------------------------------------------------------------------------------------

    def size(self, command: bytes) -> int:
        """Return how many bytes a command takes at most as a frame in the receive buffer."""
        if not self.has_decoder:
            return len(command) + FRAMING
        lead = 0 if self.in_step else len(BEGIN)
        if not self.packs:
            return len(command) + FRAMING + lead
        return (len(command) + FRAMING + 1) // 2 + count_literals(command) + 2 + lead

    def size_unpacked(self, command: bytes) -> int:
        """Return how many bytes a command takes at most as an unpacked frame between packed ones."""
        return len(command) + FRAMING + (PLAIN_ORDERS if self.has_decoder else 0)

    def fits(self, command: bytes, taken: int, most: int) -> bool:
        """Tell whether a command fits as a frame into `most` bytes of which `taken` are taken."""
        length = len(command)
        # at most two thirds of a compact move are literals, so it takes at most 1/2 + 2/3 of its length
        if command[:3] == b"G1X" and self.in_step and taken + length + (length >> 2) + FRAMING <= most:
            return True
        return taken + self.size(command) <= most

    def frame(self, text: bytes) -> bytes:
        """Return a frame as it has to go on the wire now."""
        if self.in_step:
            return attach_text(text, pack(text)) if self.packs else text
        self.in_step = True
        self.doubt_due = None
        return attach_text(text, BEGIN + pack(text) if self.packs else RESET + b"\n" + text)

    def frame_unpacked(self, text: bytes) -> Packed:
        """Return a frame that goes unpacked between packed ones.

        EMERGENCY_PARSER reads the bytes before the decoder does, and takes the orders for the beginning of a line: the
        line feed ends that line.
        """
        wire = RESET + b"\n" + text
        if self.packs:
            wire += BEGIN
        self.in_step = True
        return attach_text(text, wire)

    def probe(self, raw: bytes) -> bytes:
        """Return a probe, which begins with a line feed, as it goes on the wire: unpacked."""
        if not self.has_decoder:
            return raw
        self.lose_step()
        return RESET + raw

    # -- doubts --------------------------------------------------------------------------------------------

    def lose_step(self) -> None:
        """Note that the decoder may be in any state: the next frame resets it."""
        self.in_step = False
        self.doubt_due = None

    def note(self, state: DecoderState, now: float) -> None:
        """Note the state that the firmware reports."""
        if not self.has_decoder:
            return
        if not self.in_step or (state.unpacks == self.packs and state.blanks):
            self.doubt_due = None
        elif self.doubt_due is None:
            self.doubt_due = now + DOUBT_S

    def check_step(self, now: float, *, may_be_silent: bool) -> bool:
        """Tell whether the decoder's state has been wrong for too long, and so the link has to probe.

        Args:
            now: the time.
            may_be_silent: a long command runs, so the firmware may not have read the order that corrects the state.
        """
        if self.doubt_due is None or now < self.doubt_due:
            return False
        if may_be_silent:
            self.doubt_due = now + LONG_DOUBT_S
            return False
        self.lose_step()
        self._doubts += 1
        if self._doubts >= MAX_DOUBTS:
            self.give_up("the decoder keeps leaving the state that it was set to")
        return True

    def on_resend(self, refusals: int, acknowledged: int) -> None:
        """Note a resend request.

        Args:
            refusals: how often the firmware has refused the requested line.
            acknowledged: lines of the conversation acknowledged so far.
        """
        self.lose_step()
        calm, self._calm_from = acknowledged - self._calm_from, acknowledged
        self._trouble = self._trouble + 1 if calm < CALM else 1
        if refusals >= MAX_REFUSALS:
            self.give_up("the firmware keeps refusing a line")
        elif self._trouble >= MAX_TROUBLE:
            self.give_up("too many lines had to be sent again")

    def give_up(self, reason: str) -> None:
        """Send lines unpacked for the rest of the conversation."""
        if self.packs:
            self.packs, self._reason = False, reason
            self.lose_step()

    def notices(self) -> list[LinkNotice]:
        """Return, once, the notice that packing was turned off."""
        reason, self._reason = self._reason, ""
        return [LinkNotice(f"MeatPack was turned off, and lines now go unpacked: {reason}")] if reason else []
