"""MeatPackEncoder: packs lines character by character, as slicers do, with blanks or without."""

from gcode.errors import CommandError
from gcode.meatpack import CHARACTERS, PackOrder, order_bytes

_LITERAL = 15  # the code of a character that follows as a byte of its own


class MeatPackEncoder:
    """Packs lines; the bytes of `begin` have to come first."""

    def __init__(self, *, blanks: bool = True) -> None:
        """Prepare.

        Args:
            blanks: keep them; otherwise G commands go without, and E takes their place in the table.
        """
        self._blanks = blanks
        self._characters = CHARACTERS if blanks else CHARACTERS.replace(b" ", b"E")

    def begin(self) -> bytes:
        """Return the orders that announce packed lines."""
        return order_bytes(PackOrder.PACK) + order_bytes(PackOrder.BLANKS if self._blanks else PackOrder.NO_BLANKS)

    def line(self, text: bytes) -> bytes:
        """Pack one line, adding its line feed.

        Raises:
            CommandError: it contains a line feed, or is not ASCII.
        """
        if not text.isascii() or b"\n" in text:
            raise CommandError(f"only one line of ASCII can be packed: {text!r}")
        if not self._blanks and text[:1] == b"G":  # another command may contain a text
            text = text.replace(b" ", b"")
        text += b"\n" if len(text) % 2 else b"\n\n"
        return b"".join(self._pair(text[at], text[at + 1]) for at in range(0, len(text), 2))

    def _pair(self, first: int, second: int) -> bytes:
        low, high = self._code(first), self._code(second)
        literals = [each for each, code in ((first, low), (second, high)) if code == _LITERAL]
        return bytes([low | high << 4, *literals])

    def _code(self, character: int) -> int:
        code = self._characters.find(character)
        return _LITERAL if code < 0 else code
