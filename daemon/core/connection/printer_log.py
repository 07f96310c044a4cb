"""PrinterLog: what the log has of the printer: what it says, what it prints by itself, and why it was lost."""

import asyncio
from collections.abc import Callable

import structlog

from daemon.log import LEVELS, Limiter
from hal.printer import ConnectionState, Event, FirmwareSaid, PanelPrintChanged, Printer, StateChanged

MAX_SAID = 500  # characters of one line of the printer
LAST_LINES = 20  # of the conversation with a printer that was lost

log = structlog.get_logger()


class PrinterLog:
    """Follows the events of one printer after the other."""

    def __init__(self, printer: Callable[[], Printer | None], address: Callable[[], str | None]) -> None:
        """Prepare; `printer` tells which one is there, `address` where it was looked for."""
        self._printer = printer
        self._address = address
        self._saying = Limiter()

    def on_event(self, event: Event) -> None:
        """Log what is worth it."""
        if isinstance(event, FirmwareSaid):
            self._on_said(event)
        elif isinstance(event, PanelPrintChanged):
            log.info("printer.panel_print", going_on=event.print is not None, file=event.print and event.print.name)
        elif isinstance(event, StateChanged):
            self._on_state(event)

    def _on_state(self, event: StateChanged) -> None:
        if event.new is ConnectionState.FAULT and event.old is ConnectionState.READY:
            printer = self._printer()
            tail = printer.flight_recorder.tail()[-LAST_LINES:] if printer else []
            log.error("printer.lost", printer=self._address(), reason=str(event.error), last_lines=tail)

    def _on_said(self, said: FirmwareSaid) -> None:
        """Log it, as long as it does not say it all the time."""
        if self._saying.admits(asyncio.get_running_loop().time()):
            suppressed = self._saying.take_suppressed()
            more = {"suppressed_before": suppressed} if suppressed else {}
            log.log(LEVELS[said.severity], "printer.said", text=said.text[:MAX_SAID], **more)
