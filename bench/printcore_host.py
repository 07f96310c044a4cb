"""Prints a file with printrun.printcore, in a process of its own and in printcore's environment.

    printcore_host.py PORT FILE BAUDRATE

Says `connected`, waits for a line on stdin, prints, says `done`, waits again and ends: as `raw_host.py`.
"""

import logging
import sys
import threading
import time

from printrun import gcoder  # type: ignore[import-not-found] # there in printcore's environment only
from printrun.printcore import printcore  # type: ignore[import-not-found] # as above


def main() -> None:
    port, path, baudrate = sys.argv[1], sys.argv[2], int(sys.argv[3])
    logging.basicConfig(level=logging.CRITICAL)
    done = threading.Event()
    core = printcore()
    core.endcb = done.set
    core.errorcb = lambda _: None  # an `Error:` line comes before each Resend
    core.connect(port, baudrate)
    while not core.online:
        time.sleep(0.01)
    with open(path, encoding="ascii") as file:  # noqa: PTH123 - as printcore's own users do
        lines = gcoder.LightGCode([line.strip() for line in file])
    print("connected", flush=True)
    sys.stdin.readline()
    if not core.startprint(lines):
        sys.exit("startprint refused")
    done.wait()
    print("done", flush=True)
    sys.stdin.readline()
    core.disconnect()


if __name__ == "__main__":
    main()
