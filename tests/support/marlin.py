"""MarlinModel: the receiving end of the line protocol as Marlin 2.0 has it, small enough to read in one go.

Independent of the project's own framing, so that a mistake made on both ends cannot hide. A 128-byte receive
buffer that drops what does not fit, a 4-line command queue, and a flush of the buffer at each error.
"""

from collections import deque


def xor_of(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
    return value


class MarlinModel:
    def __init__(self, *, advanced_ok: bool = False, silent_repeats: bool = False, rx_size: int = 128) -> None:
        self.accepted: list[bytes] = []  # commands, in the order in which they were taken in
        self.numbers: list[int | None] = []
        self.out = bytearray()
        self.last = 0
        self.lost = 0  # bytes that found the receive buffer full
        self._advanced = advanced_ok
        self._silent_repeats = silent_repeats
        self._rx_size = rx_size
        self._rx = bytearray()
        self._queue: deque[tuple[int | None, bytes]] = deque()

    @property
    def busy(self) -> bool:
        return bool(self._queue)

    def receive(self, data: bytes) -> None:
        for byte in data:
            if len(self._rx) < self._rx_size:
                self._rx.append(byte)
            else:
                self.lost += 1
            if byte == 10:
                self._take_lines()

    def execute_one(self) -> None:
        if self._queue:
            number, command = self._queue.popleft()
            self._answer(number, command)
            self._take_lines()

    def _answer(self, number: int | None, command: bytes) -> None:
        if command.startswith(b"M118 "):
            self.out += command[5:] + b"\r\n"
        if command[:1] not in b"GMT":
            self.out += b'echo:Unknown command: "' + command + b'"\n'
        if self._advanced and number is not None:
            self.out += b"ok N%d P15 B%d\n" % (number, 4 - len(self._queue))
        else:
            self.out += b"ok\n"

    def _take_lines(self) -> None:
        while b"\n" in self._rx and len(self._queue) < 4:
            line, _, rest = bytes(self._rx).partition(b"\n")
            self._rx = bytearray(rest)
            if not self._take(line.strip(b" \r")):
                self._rx.clear()  # flush_rx: whatever stands behind the bad line is gone, even half a line

    def _take(self, line: bytes) -> bool:
        if not line:
            return True
        number = None
        body, star, claimed = line.rpartition(b"*")
        if line[:1] == b"N":
            digits = bytes(line[1:].split(b" ")[0])
            number = int(digits) if digits.isdigit() else -1
            if self._silent_repeats and number in (self.last, self.last - 1) and number > 0:
                return True
            if number != self.last + 1:
                return self._refuse(b"Line Number is not Last Line Number+1")
            if not star:
                return self._refuse(b"No Checksum with line number")
            if not claimed.isdigit() or int(claimed) != xor_of(body):
                return self._refuse(b"checksum mismatch")
            self.last = number
        # The checksum is looked for from the end, the command ends at the first star (Marlin's parser.cpp): two
        # lines that an altered line feed has joined, and whose checksum fits by chance, execute as the first.
        text = line.split(b"*", 1)[0]
        command = text.split(b" ", 1)[1] if number is not None else text
        self.accepted.append(command)
        self.numbers.append(number)
        self._queue.append((number, command))
        return True

    def _refuse(self, why: bytes) -> bool:
        self.out += b"Error:%s, Last Line: %d\nResend: %d\nok\n" % (why, self.last, self.last + 1)
        return False
