"""The companion `power`: switches, the printer's automatic switch-off, and clients' requests."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import structlog

from daemon.client import ClientError, Message, OctoPrintClient
from daemon.companions.companion import DONE, Answer, Companion, Refusal
from daemon.companions.power.config import PowerConfig
from daemon.companions.power.connector import Connector
from daemon.companions.power.emergency import Emergency
from daemon.companions.power.errors import DeviceError
from daemon.companions.power.printer import PrinterWatch
from daemon.companions.power.rules import AutoOff, OffPlan, PrinterReading, why_not_cold, why_not_idle, why_not_off
from daemon.companions.power.switch import Objection, Switch, SwitchingWithdrawn
from gcode.halt_kind import HeaterFault, halt_kind

if TYPE_CHECKING:
    from daemon.companions.power.sensors import Inputs

OCTOPRINT_PLUGIN = "psucontrol"  # apps for OctoPrint show its switch
STATE_EVENT = "plugin_psucontrol_psu_state_changed"
EVENTS = ["Connected", "EmergencyStop", "Error", "PrintStarted", "PrintResumed"]
HEATER_FAULTS: tuple[HeaterFault, ...] = get_args(HeaterFault)
ANNOUNCED_INTERVAL = 1.0  # between two readings of the printer's state while a switch-off is announced
IDLE_INTERVAL = 5.0  # between two readings of the printer's state at other times
QUEUE_INTERVAL = 10.0  # between two readings of the queue
ROUNDING_S = 0.05  # tolerance for the age of our own commands: the front rounds ages
REQUEST_TIMEOUT = 9.0  # the front waits 10 s

log = structlog.get_logger()


class Power(Companion):
    """Controls the printer's power and other switches."""

    name = "power"

    def __init__(
        self,
        client: OctoPrintClient,
        folder: Path,
        config: PowerConfig,
        switches: Sequence[Switch],
        wall: Callable[[], float],
        emergency: Emergency | None = None,
    ) -> None:
        """Prepare.

        Args:
            client: of the front.
            folder: its own.
            config: the section [power].
            switches: the configured switches.
            wall: returns the Unix time in s.
            emergency: stops the printer.
        """
        super().__init__(client, folder)
        self._config = config
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        self.switches = {switch.name.casefold(): switch for switch in switches}
        self.printer = next((switch for switch in switches if switch.is_printer), None)
        self.watch = PrinterWatch(client)
        self.emergency = emergency or Emergency(client)
        self.connector = Connector(client, config.port_wait_s)
        self._auto_off = AutoOff(self._loop.time(), config.idle_min * 60, config.cold_c, config.announce_s)
        self._plan = OffPlan()
        self._off_at: tuple[float | None, int | None] = (None, None)  # by the loop's clock, and as a date
        self._reported_on: bool | None = None
        self._is_going_off = False  # an automatic switch-off is being carried out
        self._no_automatic_off = asyncio.Event()  # set while no automatic switch-off is being carried out
        self._no_automatic_off.set()
        self._was_ready = False  # the printer was connected when it was last read
        self._is_cutting = False  # an emergency cut has not reported yet
        self._offs_in_progress = 0  # number of switch-offs that are being carried out
        self._postponements = 0  # number of postponements of automatic switch-offs
        self._check_soon = asyncio.Event()
        self.inputs: Inputs | None = None

    # -- watching --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch the switches and the printer."""
        self.report_changes()
        async with asyncio.TaskGroup() as group:
            for switch in self.switches.values():
                group.create_task(self._poll(switch))
            group.create_task(self._listen())
            if self.printer is not None:
                group.create_task(self._watch_printer(self.printer))
            if self._config.on_when_job_queued and self.printer is not None:
                group.create_task(self._watch_queue(self.printer))

    def describe_activity(self) -> str:
        """Return the line for `systemctl status`."""
        words = {True: "on", False: "off", None: "unknown"}
        return ", ".join(f"{switch.name} {words[switch.state]}" for switch in self.switches.values())

    async def _poll(self, switch: Switch) -> None:
        while True:
            await switch.read()
            self.report_changes()
            await asyncio.sleep(self._config.poll_s)

    async def _listen(self) -> None:
        """Receive the events that concern power; other messages are not subscribed to."""
        async for message in self.messages({"state": False, "events": EVENTS, "plugins": False}):
            self._on_message(message)

    def _on_message(self, message: Message) -> None:
        if message.kind == "connected" and self.inputs is not None:
            self.inputs.catch_up()
        if message.kind == "event" and isinstance(message.payload, dict):
            name, payload = str(message.payload.get("type")), message.payload.get("payload")
            self._on_event(name, payload if isinstance(payload, dict) else {})

    def _on_event(self, name: str, payload: Mapping[str, Any]) -> None:
        if self.inputs is not None:
            self.inputs.on_event(name)
        if name in ("PrintStarted", "PrintResumed", "Connected"):
            self._postpone()
        if name in ("PrintStarted", "PrintResumed") and self.printer is not None and self.printer.may_still_go_off:
            self._begin(self.printer.stay_on())
        if name == "EmergencyStop":
            confirmed = payload.get("confirmed") is True
            self.emergency.on_stop_ended(confirmed=confirmed)
            if not confirmed and self._config.cut_unconfirmed_stop:
                self.cut("the printer did not confirm an emergency stop")
        elif name == "Error" and payload.get("reason") == "connection":
            self._cut_if_heater_fault(str(payload.get("error")))

    def _cut_if_heater_fault(self, text: str) -> None:
        if self._config.cut_heater_fault and halt_kind(text[:1000]) in HEATER_FAULTS:
            self.cut("the firmware has halted because of a heater")

    def _check_missed_fault(self, switch: Switch, printer: PrinterReading) -> None:
        """Act on a fault whose event was missed while push was interrupted, but not on one from before our start."""
        if printer.fault and self._was_ready and not switch.is_cut:
            self._cut_if_heater_fault(printer.fault)
        if printer.is_known:
            self._was_ready = printer.is_ready

    def cut(self, why: str) -> None:
        """Switch the printer off at once, whatever its state, and keep it off."""
        if self.printer is not None and not self._is_cutting:
            log.warning("power.cut", switch=self.printer.name, why=why)
            self._hold_prints_for_cut(held=True)
            self._begin(self._cut(self.printer, why))

    async def _cut(self, switch: Switch, why: str) -> None:
        is_reported = False

        def report(error: str | None) -> None:
            nonlocal is_reported
            is_reported = True
            self.send_event("PowerCut", {"switch": switch.name, "why": why, "done": error is None, "error": error})
            self._hold_prints_for_cut(held=False)

        self.connector.stop()
        try:
            await switch.cut(report)
        finally:
            if not is_reported:  # after the report, another cut may be holding prints
                self._hold_prints_for_cut(held=False)

    def _hold_prints_for_cut(self, *, held: bool) -> None:
        """Have the front start no print until the cut is first reported; `held` False: let it start prints again."""
        self._is_cutting = held
        self.report_changes()

    # -- automatic switch-off --------------------------------------------------------------------------------

    async def _watch_printer(self, switch: Switch) -> None:
        while True:
            # needed even without auto_off: the lock needs the last temperatures before a disconnection
            printer = await self.watch.read()
            self._check_missed_fault(switch, printer)
            if self._config.auto_off:
                self._plan = self._auto_off.plan(self._loop.time(), printer, on=switch.state)
            if self._plan.is_due:
                await self._switch_off_automatically(switch)
            self.report_changes()
            self._check_soon.clear()
            pause = ANNOUNCED_INTERVAL if self._plan.off_at is not None else IDLE_INTERVAL
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._check_soon.wait()

    async def _switch_off_automatically(self, switch: Switch) -> None:
        """Send `before_off`, check the printer once more, switch it off, and verify that."""
        self._is_going_off, postponements = True, self._postponements
        self._no_automatic_off.clear()
        self._plan = OffPlan(reason="being switched off")
        self.report_changes()
        if self._config.before_off:
            try:
                await self.client.printer.send(*self._config.before_off)
            except ClientError as error:
                log.warning("power.before_off_failed", reason=str(error))
                self._end_automatic_off()
                return
        began = self._loop.time()  # a later command comes from a client
        if self._config.before_off:
            await asyncio.sleep(ANNOUNCED_INTERVAL)

        async def objection() -> str | None:
            printer = await self.watch.read()
            if self._postponements != postponements or (printer.commanded_at or 0.0) > began + ROUNDING_S:
                return "the printer is in use again"
            return why_not_idle(printer, self._loop.time()) or why_not_cold(printer, self._config.cold_c)

        try:
            await self._turn_off(switch, objection)
        except SwitchingWithdrawn as error:
            log.warning("power.not_off", reason=error.reason)
        except DeviceError as error:
            log.warning("power.not_off", reason=str(error))
            self.send_event("PowerOffFailed", {"switch": switch.name, "error": str(error)})
        else:
            self.send_event("PowerOffByItself", {"switch": switch.name})
        finally:
            self._end_automatic_off()

    async def _turn_off(self, switch: Switch, objection: Objection | None) -> None:
        """Switch the printer off. Meanwhile, the front starts no print. Raises what `Switch.turn` raises."""
        self._offs_in_progress += 1
        try:
            self.report_changes()
            if not await self.report_state_now() and objection is not None:
                raise SwitchingWithdrawn("a print may be starting: nozzled has not confirmed that no print starts")
            await switch.turn(on=False, objection=objection)
        finally:
            self._offs_in_progress -= 1
            self.report_changes()

    def _end_automatic_off(self) -> None:
        self._is_going_off = False
        self._no_automatic_off.set()
        self._postpone()

    def _postpone(self) -> None:
        self._auto_off.cancel(self._loop.time())
        self._postponements += 1
        if not self._is_going_off:
            self._plan = OffPlan()
        self._check_soon.set()

    # -- automatic switch-on ---------------------------------------------------------------------------------

    async def _watch_queue(self, switch: Switch) -> None:
        """Switch the printer on when an entry is added to the queue, or, if the queue is paused, when it is resumed."""
        known_ids: set[int] | None = None  # entries seen while the printer was on, or while the queue was not paused
        while True:
            with suppress(ClientError, TypeError, KeyError, DeviceError):  # retried below
                queue = await self.client.get("/api/queue")
                entries = {each["id"] for each in queue["entries"]}
                waiting = {each["id"] for each in queue["entries"] if each["state"] == "waiting"}
                if known_ids is None or switch.state is True:
                    known_ids = entries
                elif not queue["paused"]:
                    if switch.state is False and not switch.is_cut and waiting - known_ids:
                        log.info("power.queue", consequence="the printer is switched on")
                        await switch.turn(on=True)
                        self.connector.begin()
                    known_ids = entries
            await asyncio.sleep(QUEUE_INTERVAL)

    # -- requests --------------------------------------------------------------------------------------------

    async def handle(self, do: str, parameters: Mapping[str, Any], scope: str) -> Answer:
        """Switch, cancel an announced switch-off, or connect; `force` overrides the lock."""
        if do not in ("on", "off", "toggle", "cancel", "connect"):
            raise Refusal(400, f"unknown command {do[:40]!r}; power has on, off, toggle, cancel and connect")
        if scope == "read":
            raise Refusal(403, "switching needs a key of scope control; this key may only read")
        if do == "cancel":
            await self._cancel()
            return DONE
        switch = self._find(parameters.get("device"))
        on = {"on": True, "connect": True, "off": False}.get(do, switch.state is not True)
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                await self._switch(switch, on=on, force=parameters.get("force") is True)
        except TimeoutError:
            raise Refusal(503, f"{switch.name} did not answer within {REQUEST_TIMEOUT:g} s") from None
        except DeviceError as error:
            raise Refusal(503, str(error)) from error
        finally:
            self.report_changes()
        if on and switch.is_printer and (do == "connect" or self._config.connect_after_on):
            self.connector.begin(parameters.get("port"), parameters.get("baudrate"))
        return Answer(200, {"device": switch.name, "on": switch.state})

    async def _switch(self, switch: Switch, *, on: bool, force: bool) -> None:
        if on or not switch.is_printer:
            self._postpone()
            await switch.turn(on=on)
            return

        async def objection() -> str | None:
            printer = await self.watch.read()
            return why_not_off(
                printer, self._loop.time(), self._config.cold_c, is_locked=self._config.locked_while_printing
            )

        try:
            if not force and (reason := await objection()) is not None:  # do not wait for a busy switch to refuse
                raise SwitchingWithdrawn(reason)  # noqa: TRY301 - handled like the switch's own
            self.connector.stop()
            self._postpone()
            await self._turn_off(switch, None if force else objection)
        except SwitchingWithdrawn as error:
            stays = "was told to switch off, and is switched on again." if error.is_sent else "stays on."
            text = f'{error.reason}: {switch.name} {stays} Send "force": true to switch it off anyway'
            raise Refusal(409, text) from error

    async def _cancel(self) -> None:
        """Keep the printer on; if it is being switched off already, wait for the result."""
        going_off = self._is_going_off
        self._postpone()
        self.report_changes()
        if not going_off or self.printer is None:
            return
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                await self._no_automatic_off.wait()
        except TimeoutError:
            raise Refusal(503, f"{self.printer.name} is being switched off and does not answer") from None
        if self.printer.state is not True:
            raise Refusal(409, f"too late: {self.printer.name} has been switched off")

    def _find(self, name: object) -> Switch:
        if name is None:
            if self.printer is not None:
                return self.printer
            if len(self.switches) == 1:
                return next(iter(self.switches.values()))
            raise Refusal(400, "name a device: none of them has the role printer")
        switch = self.switches.get(str(name).casefold())
        if switch is None:
            names = ", ".join(each.name for each in self.switches.values())
            raise Refusal(404, f"unknown switch {str(name)[:40]!r}; known switches: {names or 'none'}")
        return switch

    # -- state -----------------------------------------------------------------------------------------------

    def report_changes(self) -> None:
        """Report the state; to apps for OctoPrint, as its plugin does."""
        printer = self.printer
        if (at := self._plan.off_at) != self._off_at[0]:
            self._off_at = (at, None if at is None else round(self._wall() + at - self._loop.time()))
        self.report_state(
            {
                "devices": [
                    {"name": each.name, "on": each.state, "error": each.error, "printer": each.is_printer}
                    for each in self.switches.values()
                ],
                "printer": printer.name if printer is not None else None,
                "on": printer.state if printer is not None else None,
                "connects": self._config.on_before_connect and printer is not None,
                "auto": self._config.auto_off and printer is not None,
                "offAt": self._off_at[1],
                "goingOff": self._offs_in_progress > 0 or self._is_cutting,
                "waits": self._plan.reason or None,
                "sensors": self.inputs.as_json() if self.inputs is not None else {},
            }
        )
        if printer is None or printer.state is None or printer.state == self._reported_on:
            return
        first, self._reported_on = self._reported_on is None, printer.state
        self.send_plugin_message(OCTOPRINT_PLUGIN, {"isPSUOn": printer.state})
        if not first:
            self.send_event(STATE_EVENT, {"isPSUOn": printer.state})
