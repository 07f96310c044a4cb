"""Reports: keeps the last reports on heaters, SD card and panel, and queries a printer that does not report unasked."""

import asyncio
import math
from collections.abc import Callable

from gcode.outgoing import Ticket
from gcode.replies import (
    Busy,
    Heaters,
    HostAction,
    Ok,
    PositionReply,
    Reading,
    Reply,
    SdDone,
    SdIdle,
    SdOpened,
    SdPaused,
    SdProgress,
    SdSelected,
    Targets,
    Temperatures,
    UnknownCommand,
)
from hal.commands import Commands
from hal.handshake import Handshake
from hal.link_settings import LinkSettings
from hal.panel import Panel
from hal.printer import ActionRequested, Event, PanelPrintChanged, PositionRead, TemperaturesRead
from hal.pump import Pump
from hal.repeated_query import RepeatedQuery

KEEPALIVE = "M113 S2"  # busy messages every 2 s, on which the link relies; a file may have turned them off
BUSY_PERIOD = 10.0  # how long a busy message counts: Marlin sends one every 2 s, others at least every 10 s
CARD_REPORTS = "M27 S5"  # a report every 5 s on the progress of a print from the SD card


class Reports:
    """The last reports of one printer.

    Attributes:
        heaters: the last temperature report, in °C.
        panel: prints from the SD card, messages and prompts.
        settings: the intervals of queries, and whether all tools share one nozzle.
        job_is_fed: a job is printing, so its lines are being sent.
    """

    def __init__(
        self,
        pump: Pump,
        commands: Commands,
        handshake: Handshake,
        settings: LinkSettings,
        publish: Callable[[Event], None],
    ) -> None:
        """Prepare; nothing is sent. `publish` passes an event to the listeners."""
        self.heaters: Heaters = {}
        self.panel = Panel()
        self._targets: dict[str, float] = {}  # reported without temperatures
        self._pump = pump
        self._commands = commands
        self._handshake = handshake
        self.settings = settings
        self._publish = publish
        self.job_is_fed = False
        self._loop = asyncio.get_running_loop()
        self._busy_at = -math.inf
        self._awaits_user = False  # as the last busy message says
        self._temperatures = RepeatedQuery(b"M105", self._query, self._temperature_interval)
        self._card = RepeatedQuery(b"M27", self._query_card, self._card_interval)
        commands.on_panel_print = self._expect_panel_print

    async def begin(self) -> None:
        """Turn on the printer's own reports, or start to query the printer."""
        send, identity = self._commands.send, self._handshake.identity
        if self._reports_itself:
            await send(f"M155 S{max(1, round(self.settings.poll_interval))}")
            self._temperatures.query_later()
        else:
            self._temperatures.query()
        if identity.can("AUTOREPORT_SD_STATUS"):
            await send(CARD_REPORTS)
        if identity.can("BUSY_PROTOCOL") and self._has_line_numbers:
            await send(KEEPALIVE)

    def hotend(self, tool: int, in_use: int) -> str:
        """Return the key in `heaters` for the hotend of a tool."""
        alone = [name for name in self.heaters if name.startswith("tool")] == ["tool0"]
        if self.settings.shared_nozzle or (alone and (tool == in_use or self._shares_nozzle(tool))):
            return "tool0"
        return f"tool{tool}"

    def _shares_nozzle(self, tool: int) -> bool:
        """Tell whether the firmware has this tool without a hotend of its own: with an MMU, or SINGLENOZZLE."""
        count = self._handshake.identity.fields.get("EXTRUDER_COUNT", "")
        return count.isascii() and count.isdigit() and tool < int(count[:3])

    @property
    def waits_for_user(self) -> bool:
        """The firmware reports that it waits for the user at its panel."""
        return self.busy and self._awaits_user

    @property
    def busy(self) -> bool:
        """Within the last BUSY_PERIOD, the firmware has reported that it is busy, or that it waits for heat."""
        return self._loop.time() - self._busy_at < BUSY_PERIOD

    def on_feed(self, *, job_is_fed: bool) -> None:
        """Note whether a job is fed: if so, temperatures are queried more often."""
        self.job_is_fed = job_is_fed
        if job_is_fed and self._temperatures.is_scheduled:  # the timer may have been set for an idle printer
            self._temperatures.query_later()
        self._card.query_later()

    def stop(self) -> None:
        """Stop the queries."""
        self._temperatures.stop()
        self._card.stop()

    def note(self, reply: Reply) -> None:
        """Keep what a reply reports; most replies are of no concern."""
        match reply:
            case Busy():
                self._busy_at, self._awaits_user = self._loop.time(), reply.awaits_user
            case Temperatures() | Ok() if reply.heaters:
                if isinstance(reply, Temperatures) and reply.waiting:
                    self._busy_at, self._awaits_user = self._loop.time(), False
                self._take_temperatures(reply.heaters)
            case Targets():
                self._take_targets(reply.targets)
            case HostAction():
                self.panel.note_action(reply)
                self._publish(ActionRequested(reply.name, reply.argument))
            case SdOpened() | SdSelected() | SdProgress() | SdPaused() | SdIdle() | SdDone() | UnknownCommand():
                self._note_card(reply)
            case PositionReply():
                self._publish(PositionRead(reply.axes))

    # -- queries -------------------------------------------------------------------------------------------

    def _query(self, ticket: Ticket) -> None:
        self._commands.send_ticket(ticket)

    def forget_panel_print(self) -> None:
        """Forget the print from the SD card until its place changes."""
        if self.panel.forget_print():
            self._publish(PanelPrintChanged(None))
            self._card.query_later()

    def _query_card(self, ticket: Ticket) -> None:
        if self.panel.count_query():
            self._publish(PanelPrintChanged(None))
        else:
            self._query(ticket)

    def _expect_panel_print(self) -> None:
        if not self.job_is_fed and self.panel.expect_print():
            self._publish(PanelPrintChanged(self.panel.print))
            self._card.query_later()

    @property
    def _reports_itself(self) -> bool:
        """The firmware can report its temperatures unasked (M155)."""
        return self._handshake.identity.can("AUTOREPORT_TEMP") and self._has_line_numbers

    @property
    def _has_line_numbers(self) -> bool:
        return self._pump.link is not None and self._pump.link.dialect.counts_lines

    def _temperature_interval(self) -> float | None:
        if self._pump.has_ended:
            return None  # replies that were read together with the end of the conversation may still call this
        if self._reports_itself:
            return max(self.settings.report_patience, 2 * self.settings.poll_interval)
        busy = self.job_is_fed or any(reading.target for reading in self.heaters.values())
        return self.settings.poll_interval if busy else self.settings.idle_interval

    def _card_interval(self) -> float | None:
        """Return the seconds between queries of a print from the SD card; None: none runs, or reports come unasked."""
        reports = self._handshake.identity.can("AUTOREPORT_SD_STATUS")
        if self._pump.has_ended or (reports and not self.panel.is_doubtful):
            return None
        # a forgotten print may read on: it was paused at the panel
        if self.panel.print is None and (self.job_is_fed or not self.panel.has_forgotten_print):
            return None
        return self.settings.card_interval

    # -- reports -------------------------------------------------------------------------------------------

    def _take_temperatures(self, heaters: Heaters) -> None:
        if self._targets:
            heaters = {
                name: Reading(read.actual, self._targets.get(name)) if read.target is None else read
                for name, read in heaters.items()
            }
        self.heaters = {**self.heaters, **heaters}
        if self._reports_itself and self._temperatures.is_scheduled:
            self._temperatures.query_later()  # a report came, so none is missing yet
        self._publish(TemperaturesRead(self.heaters, frozenset(heaters)))

    def _take_targets(self, targets: dict[str, float]) -> None:
        """Take targets reported without temperatures: they complete reports without targets until others come."""
        targets = {name: target for name, target in targets.items() if name in self.heaters}
        self._targets |= targets
        if targets:
            self._take_temperatures(
                {name: Reading(self.heaters[name].actual, target) for name, target in targets.items()}
            )

    def _note_card(self, reply: Reply) -> None:
        if self.panel.note(reply, by_host=self._commands.is_selecting):
            self._publish(PanelPrintChanged(self.panel.print))
            self._card.query_later()
