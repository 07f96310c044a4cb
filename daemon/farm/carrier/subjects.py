"""Names in NATS: subjects, streams, headers, and which printer or site a subject belongs to."""

import re

from daemon.farm.messages import PRINTER_ID

PRESENCE_BUCKET = "printers"
PRESENCE = "$KV.printers"
FAILED = "FAILED"
FILES = "gcode"
QUEUE = "server"
MESSAGE_ID = "Nats-Msg-Id"
ADDRESSEE = "Nozzled-Printer"
REFUSED = "Nozzled-Refused"
TROUBLE = "Nozzled-Trouble"
SERVER_INBOX = "_INBOX_farm_server"
"""Not `_INBOX_server`: a printer may be called `server`, and may read everything in its own inbox."""

_ID = re.compile(PRINTER_ID)


def is_printer(text: str) -> bool:
    """Tell whether this is a valid id of a printer or a site."""
    return _ID.fullmatch(text) is not None


def printer_inbox(printer: str) -> str:
    """Return the prefix of the subjects of answers to a printer."""
    return f"_INBOX_{printer}"


def site_inbox(site: str) -> str:
    """Return the prefix of the subjects of answers to a site."""
    return f"_INBOX_site_{site}"


def printer_subject(kind: str, printer: str) -> str:
    """Return a printer's subject for a kind of message: `farm.claim.mk3`."""
    return f"farm.{kind}.{printer}"


def sender(subject: str) -> str:
    """Return the only printer that may publish on this subject; empty: none may."""
    printer = subject.rpartition(".")[2]
    return printer if is_printer(printer) else ""


def is_own_inbox(reply: str, printer: str) -> bool:
    """Tell whether an answer to a printer may go to this subject, which the printer itself has named."""
    return is_below(reply, printer_inbox(printer))


def is_below(subject: str, prefix: str) -> bool:
    """Tell whether this is a single subject, without wildcards, below a prefix."""
    return subject.startswith(f"{prefix}.") and not any(each in subject for each in "*> \t\r\n")
