"""Kills core or front of an installed nozzled repeatedly during a print, and reports what clients saw.

Run inside a box by the system's Python, so that only nozzled is measured: kills.py core|front TIMES KEY ORACLE.
Writes a JSON list: for each kill `took` (s), `same` and the fields below. Uses only the standard library.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

TIMEOUT = 90.0  # as in support.waiting, which does not exist in the box
LINES = 5  # more than are in flight
PAUSE = 0.01  # s


def main(part: str, times: str, key: str, oracle: str) -> None:
    kill = {"core": kill_core, "front": kill_front}[part]
    json.dump([kill(key, Path(oracle)) for _ in range(int(times))], sys.stdout)


def kill_front(key: str, _oracle: Path) -> dict[str, Any]:
    """Kill the front. `took`: until the API answers again; `same`: the API shows the same print and the same core."""
    before, (core, front) = job(key), pids()
    os.kill(front, signal.SIGKILL)
    began = time.monotonic()
    after = job(key)
    took = time.monotonic() - began
    same = state_of(before) == state_of(after) and before["progress"]["filepos"] <= after["progress"]["filepos"]
    return {"took": took, "same": same and pids()[0] == core}


def kill_core(key: str, oracle: Path) -> dict[str, Any]:
    """Kill the core.

    `took`: until the printer has lines of the next core; `answer`: the slowest answer of the API meanwhile; `same`: the
    front and the file are the same as before.
    """
    before, (core, front), line_count = job(key), pids(), lines(oracle)
    os.kill(core, signal.SIGKILL)
    began, answers, same = time.monotonic(), [], True
    while lines(oracle) <= line_count + LINES:  # asking systemd each time would cost more than what is measured
        time.sleep(PAUSE)
        sent_at = time.monotonic()
        after = job(key)
        answers.append(time.monotonic() - sent_at)
        same = same and state_of(after)[1] == state_of(before)[1] and state_of(after)[0] in ("Printing", "Resuming")
        if sent_at - began > TIMEOUT:
            raise SystemExit(f"the print does not continue: {after}")
    took, now = time.monotonic() - began, pids()
    return {"took": took, "answer": max(answers), "same": same and now[0] not in (0, core) and now[1] == front}


def state_of(answer: dict[str, Any]) -> tuple[str, str]:
    return answer["state"], answer["job"]["file"]["path"]


def lines(oracle: Path) -> int:
    return oracle.read_bytes().count(b"\n")


def pids() -> tuple[int, int]:
    command = ["systemctl", "show", "--value", "--property", "MainPID", "nozzled.service", "nozzled-front.service"]
    core, front = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return int(core), int(front)


def job(key: str) -> dict[str, Any]:
    request = urllib.request.Request("http://127.0.0.1:5000/api/job", headers={"X-Api-Key": key})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                body: dict[str, Any] = json.load(answer)
                return body
        except (ConnectionError, http.client.HTTPException):  # accepted by the process that was just killed
            continue


if __name__ == "__main__":
    main(*sys.argv[1:])
