"""The floor: the least Python that prints a file, in a process of its own.

    raw_host.py WINDOW PORT FILE

One thread, blocking os.read and os.write, no parsing beyond `ok` and `Resend:`. At most WINDOW lines have no
`ok` at any time: 1 is ping-pong. It is no host, only what line numbers, checksums and system calls cost in CPython.

Says `connected` when the printer is there, waits for a line on stdin, prints, says `done`, waits again and ends.
"""

import os
import select
import sys
import time
import tty
from functools import reduce
from operator import xor

HOLD = 0.03  # s of silence after a Resend, until lines on their way have passed


def number_line(number: int, command: bytes) -> bytes:
    line = b"N%d %s" % (number, command)
    return b"%s*%d\n" % (line, reduce(xor, line))


def wait_for_printer(fd: int) -> None:
    heard = b""
    while b"\n" not in heard or b"Free Memory" not in heard:
        heard += os.read(fd, 4096)


def stream(fd: int, window: int, path: str) -> None:  # noqa: C901 - one loop: each call would cost what is measured
    # Every accepted line gives one `ok` and every Resend gives one, so following + resends - oks lines are without
    # an answer, also after lines that the firmware dropped. Lines on their way at a Resend give one each; without
    # waiting until they have passed, each of them makes the host go back again, and the print never gets on.
    sent = [number_line(0, b"M110 N0")]  # sent[n] is line n
    following = oks = resends = 0
    hold, hold_until = HOLD if window > 1 else 0.0, 0.0
    buffer = b""
    with open(path, "rb") as source:  # noqa: PTH123 - no more imports than it takes
        while True:
            if hold_until:
                left = hold_until - time.monotonic()
                if left <= 0 or not select.select([fd], [], [], left)[0]:
                    hold_until = 0.0
            while not hold_until and following + resends - oks < window:
                if following == len(sent):
                    for raw in source:
                        command = raw.split(b";", 1)[0].strip()
                        if command:
                            sent.append(number_line(following, command))
                            break
                    else:
                        break
                os.write(fd, sent[following])
                following += 1
            if not hold_until and following + resends == oks:
                break
            buffer += os.read(fd, 4096)
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                if line.startswith(b"ok"):
                    oks += 1
                elif line.startswith(b"Resend:"):
                    following = int(line[7:])
                    resends += 1
                    hold_until = time.monotonic() + hold if hold else 0.0


def main() -> None:
    window, port, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(fd)
    wait_for_printer(fd)
    print("connected", flush=True)
    sys.stdin.readline()
    stream(fd, window, path)
    print("done", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
