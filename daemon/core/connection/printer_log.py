"""PrinterLog: logs the printer's messages, its own prints, and why it was lost."""

import asyncio
from collections.abc import Callable

import structlog

from daemon.log import LEVELS, Limiter
from hal.printer import ConnectionState, Event, FirmwareSaid, PanelPrintChanged, Printer, StateChanged

MAX_TEXT = 500  # characters of one message
LAST_LINES = 20  # of the conversation with a printer that was lost

log = structlog.get_logger()


class PrinterLog:
    """Follows the events of all printers of one connection."""

    def __init__(self, printer: Callable[[], Printer | None], address: Callable[[], str | None]) -> None:
        """Prepare; `printer` returns the present printer, `address` the address of the connection."""
        self._printer = printer
        self._address = address
        self._limit = Limiter()

    def on_event(self, event: Event) -> None:
        """Log an event, if it is worth logging."""
        if isinstance(event, FirmwareSaid):
            self._on_message(event)
        elif isinstance(event, PanelPrintChanged):
            log.info("printer.panel_print", going_on=event.print is not None, file=event.print and event.print.name)
        elif isinstance(event, StateChanged):
            self._on_state(event)

    def _on_state(self, event: StateChanged) -> None:
        if event.new is ConnectionState.FAULT and event.old is ConnectionState.READY:
            printer = self._printer()
            tail = printer.flight_recorder.tail()[-LAST_LINES:] if printer else []
            log.error("printer.lost", printer=self._address(), reason=str(event.error), last_lines=tail)

    def _on_message(self, message: FirmwareSaid) -> None:
        """Log a message, unless there are too many."""
        if self._limit.admits(asyncio.get_running_loop().time()):
            suppressed = self._limit.take_suppressed()
            more = {"suppressed_before": suppressed} if suppressed else {}
            log.log(LEVELS[message.severity], "printer.said", text=message.text[:MAX_TEXT], **more)
