"""The process that sends one message with apprise. apprise takes much memory, may hang, and must know the addresses.

The request comes by standard input, as JSON: `url`, `title`, `body`, `kind`, `picture` (a file or null), and the limits
`memory` (bytes) and `seconds`. The answer is JSON: `{"sent": true}` or `{"sent": false, "reason": "401"}`. The reason
is an HTTP status or a text of our own, since the texts of apprise may contain the address.
"""

import json
import logging
import os
import re
import resource
import sys
from contextlib import suppress
from typing import Any

_STATUS = re.compile(r"error\s*=\s*([1-5]\d\d)\b")
_WORDS = (
    ("timed out", "no answer in time"),
    ("timeout", "no answer in time"),
    ("connection", "cannot be reached"),
    ("unsupported url", "apprise does not know this kind of address"),
    ("unparseable", "apprise does not understand the address"),
    ("attachment", "the picture could not be sent"),
)
_TYPES = {"fault": "failure", "failed": "failure", "done": "success", "warning": "warning", "disk": "warning"}

NO_APPRISE = "apprise is not installed: pip install 'nozzled[notify]'"


class _LogLines(logging.Handler):
    """Collects apprise's log lines, to find the reason of a failure in them."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):
            self.lines.append(record.getMessage())
        del self.lines[:-100]


def reason_of(lines: list[str]) -> str:
    """Return why a message was not sent, in our own words."""
    for line in reversed(lines):
        if (match := _STATUS.search(line)) is not None:
            return match[1]
    output = "\n".join(lines).lower()
    return next((words for sign, words in _WORDS if sign in output), "refused")


def send(request: dict[str, Any]) -> dict[str, Any]:
    """Send a message."""
    log_lines = _LogLines()
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [log_lines], False
    logger.setLevel(logging.DEBUG)
    try:
        import apprise  # noqa: PLC0415 - it may be missing, and takes much memory
    except ImportError:
        return {"sent": False, "reason": NO_APPRISE}
    asset = apprise.AppriseAsset(app_id="nozzled", app_desc="nozzled", app_url="", async_mode=False)
    channel = apprise.Apprise(asset=asset)
    if not channel.add(request["url"]):
        return {"sent": False, "reason": reason_of([*log_lines.lines, "unsupported url"])}
    sent = channel.notify(
        title=request["title"],
        body=request["body"],
        body_format=apprise.NotifyFormat.TEXT,
        notify_type=_TYPES.get(request.get("kind", ""), "info"),
        attach=request.get("picture") or None,
    )
    return {"sent": True} if sent else {"sent": False, "reason": reason_of(log_lines.lines)}


def main() -> int:
    """Send the message of standard input; print the result."""
    request = json.load(sys.stdin.buffer)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold the address
    for limit, name in ((resource.RLIMIT_AS, "memory"), (resource.RLIMIT_CPU, "seconds")):
        if request.get(name):
            resource.setrlimit(limit, (int(request[name]), int(request[name])))
    answer_to = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # a plugin of apprise may print secrets
    os.dup2(1, 2)
    try:
        answer = send(request)
    except MemoryError:
        answer = {"sent": False, "reason": "it needed too much memory"}
    except Exception as error:  # noqa: BLE001 - a plugin of apprise may raise anything
        answer = {"sent": False, "reason": f"apprise failed ({type(error).__name__})"}
    with os.fdopen(answer_to, "w") as file:
        json.dump(answer, file)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
