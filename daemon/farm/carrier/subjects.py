"""Names in NATS: subjects, streams, and whose they are."""

import re

from daemon.farm.messages import PRINTER_ID

PRESENCE_BUCKET = "printers"
PRESENCE = "$KV.printers"
FAILED = "FAILED"
FILES = "gcode"
QUEUE = "server"
MESSAGE_ID = "Nats-Msg-Id"
MEANT_FOR = "Nozzled-Printer"
REFUSED = "Nozzled-Refused"
TROUBLE = "Nozzled-Trouble"
SERVER_INBOX = "_INBOX_server"

_ID = re.compile(PRINTER_ID)


def is_printer(text: str) -> bool:
    """Tell whether a printer may be called so."""
    return _ID.fullmatch(text) is not None


def inbox(printer: str) -> str:
    """Return what the subjects of answers to a printer begin with."""
    return f"_INBOX_{printer}"


def site_inbox(site: str) -> str:
    """Return what the subjects of answers to a site begin with."""
    return f"_INBOX_site_{site}"


def of(kind: str, printer: str) -> str:
    """Return a printer's subject of a kind: `farm.claim.mk3`."""
    return f"farm.{kind}.{printer}"


def sender(subject: str) -> str:
    """Return the printer that may publish on this subject, or nothing."""
    printer = subject.rpartition(".")[2]
    return printer if is_printer(printer) else ""


def is_own_inbox(reply: str, printer: str) -> bool:
    """Tell whether an answer to a printer may go to this subject: whoever asks says where to."""
    return is_below(reply, inbox(printer))


def is_below(reply: str, prefix: str) -> bool:
    """Tell whether this is one subject below another."""
    return reply.startswith(f"{prefix}.") and not any(each in reply for each in "*> \t\r\n")
