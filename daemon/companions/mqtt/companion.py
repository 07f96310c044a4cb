"""The companion `mqtt`: publishes the front's state to the broker, and carries out commands from there if allowed."""

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from daemon.client import ClientError, OctoPrintClient
from daemon.companions.companion import Companion
from daemon.companions.front_state import FrontState
from daemon.companions.mqtt import discovery
from daemon.companions.mqtt.broker import Broker
from daemon.companions.mqtt.commands import MqttCommands
from daemon.companions.mqtt.config import MqttConfig, check, password, tls_context
from daemon.companions.mqtt.outbox import BrokerOutbox, Outgoing
from daemon.companions.mqtt.payloads import MAX_HEATERS, MAX_SILENCE_S, PARTS, payloads, switch_of
from daemon.companions.mqtt.rates import Rates
from daemon.companions.mqtt.topics import Topics, clean
from daemon.private_file import write_private

TICK_S = 1.0
MACHINE_INTERVAL = 60.0  # between two queries of the computer's health
MAX_BIRTH_DELAY = 5.0  # of the answer to Home Assistant's start; random, so that many printers do not answer at once
LATE_S = 10.0  # age from which a command is refused: its sender has given up, and another print may have begun
CATCH_UP_S = 3.0  # after this process hung: commands that are read in this time may be old, and are refused
MAX_COMMANDS = 16  # waiting
ANNOUNCEMENT_FILE = "announced.json"
MAX_EVENT, MAX_NAME = 4096, 60  # characters
SUBSCRIPTION = {"page": {"program": True}, "state": False, "plugins": False, "events": [*discovery.EVENTS]}

log = structlog.get_logger()


class MqttCompanion(Companion):
    """Publishes the state of printer and print."""

    name = "mqtt"

    def __init__(
        self,
        client: OctoPrintClient,
        folder: Path,
        *,
        config: MqttConfig,
        environ: Mapping[str, str],
        wall: Callable[[], float],
    ) -> None:
        """Prepare.

        Args:
            client: the front.
            folder: its own.
            config: the section [mqtt].
            environ: of this process.
            wall: returns the Unix time in s.

        Raises:
            ConfigError: the configuration, the password or a certificate cannot be used.
        """
        super().__init__(client, folder)
        check(config)
        self._config = config
        self._options = {"password": password(config, environ), "tls_context": tls_context(config)}
        self._wall = wall
        self._front = FrontState()
        self._machine: Mapping[str, Any] = {}
        self._heard_at = -MAX_SILENCE_S  # loop time of the front's last message
        self._has_id = asyncio.Event()
        self._outbox = BrokerOutbox()
        self._rates = Rates(config.temperature_step_c, config.temperature_every_s)
        self._commands = MqttCommands(client)
        self._command_queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MAX_COMMANDS)  # loop time, payload
        self._ticked_at = asyncio.get_running_loop().time()
        self._late_until = 0.0  # loop time until which commands count as late, because this process hung
        self._broker: Broker | None = None
        self._id = ""
        self._topics = Topics("")
        self._heaters: dict[str, None] = {}  # all heaters that the printer has ever reported, in order
        self._announcement: dict[str, Any] = {}
        self._has_switch = False  # a power switch is announced, even while its companion is away
        self._described_topics: set[str] = set()  # topics of descriptions that this process has sent

    async def run(self) -> None:
        """Listen and publish until cancelled."""
        self._announcement = await asyncio.to_thread(self._read)
        self._heaters = dict.fromkeys(self._announcement.get("heaters", ()))
        self._has_switch = self._announcement.get("switch") is True
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._poll_health())
            await self._has_id.wait()  # the printer's id comes from the front
            self._set_topics()
            group.create_task(self._connect())
            group.create_task(self._carry_out_commands())
            await self._tick()

    # -- listening -----------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        async for message in self.messages(SUBSCRIPTION):
            if not isinstance(message.payload, dict):
                continue
            if message.kind == "page":
                self._heard_at = asyncio.get_running_loop().time()
                self._front.take(message.payload)
                if "server.uuid" in self._front:
                    self._has_id.set()
                if self._topics.base and ("set" in message.payload or "all" in message.payload):
                    self._publish()
            elif message.kind == "event" and self._topics.base:
                self._publish_event(message.payload)

    async def _poll_health(self) -> None:
        while True:
            with suppress(ClientError, KeyError, TypeError):
                self._machine = (await self.client.get("/api/health"))["machine"]
            await asyncio.sleep(MACHINE_INTERVAL)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._detect_hang(loop.time())
            self._publish()
            await asyncio.sleep(TICK_S)

    def _detect_hang(self, now: float) -> None:
        if now - self._ticked_at > LATE_S:
            self._late_until = now + CATCH_UP_S
        self._ticked_at = now

    # -- publishing ----------------------------------------------------------------------------------------------

    def _set_topics(self) -> None:
        self._id = self._config.id or clean(str(self._front["server.uuid"]).replace("-", "")[:8])
        self._topics = Topics(f"{self._config.prefix}/{self._id}")
        before = self._announcement.get("base")
        if before and before != self._topics.base:
            self._remove_topics(self._announcement)
            self._announcement = {}

    def _publish(self) -> None:
        """Publish the payloads that are due."""
        now = asyncio.get_running_loop().time()
        is_current = now - self._heard_at < MAX_SILENCE_S
        parts = payloads(self._front, self._machine, self._wall(), current=is_current)
        for part, payload in self._rates.choose(now, parts).items():
            self._outbox.put(Outgoing(self._topics.of_part(part), _json(payload)))
        for heater in parts["temperatures"]:
            if heater not in self._heaters and len(self._heaters) < MAX_HEATERS:
                self._heaters[heater] = None
        if "companions.power" in self._front:
            self._has_switch = self._has_switch or switch_of(self._front) is not None
        elif is_current:  # the companion `power` is switched off
            self._has_switch = False
        self._announce()

    def _publish_event(self, event: Mapping[str, Any]) -> None:
        name, payload = str(event.get("type")), event.get("payload")
        if name not in discovery.EVENTS:
            return
        text = _json({"event_type": discovery.EVENTS[name], "payload": payload})
        if len(text) > MAX_EVENT:
            text = _json({"event_type": discovery.EVENTS[name], "payload": None})
        self._outbox.put_event(Outgoing(self._topics.of_event(name), text, retain=False, qos=1))

    # -- Home Assistant --------------------------------------------------------------------------------------------

    def _announce(self) -> None:
        """Publish the description of the printer if it has changed."""
        config = self._config
        where = discovery.discovery_topic(config.discovery_prefix, self._id)
        if not config.home_assistant:
            if self._announcement.get("discovery"):
                self._outbox.put(Outgoing(self._announcement["discovery"], ""))
            if self._announcement != {"base": self._topics.base}:
                self._save_announcement({"base": self._topics.base})
            return
        printer = discovery.PrinterDescription(
            self._id,
            str(self._front.get("server.name") or self._front.get("profile.name") or "nozzled")[:MAX_NAME],
            str(self._front.get("profile.model") or self._front.get("printer.machine") or "")[:MAX_NAME],
            str(self._front.get("printer.firmware") or self._announcement.get("firmware") or "")[:MAX_NAME],
            config.url or self.client.url,
            tuple(self._heaters),
            config.commands,
            self._has_switch,
        )
        before = self._announcement.get("entities", {})
        description = discovery.describe_device(printer, self._topics, before)
        entities = discovery.platforms_of(description)
        announcement = {
            "base": self._topics.base,
            "discovery": where,
            "entities": entities,
            "heaters": [*self._heaters],
            "switch": self._has_switch,
            "firmware": printer.firmware,
            "description": description["device"],
        }
        if announcement == self._announcement and where in self._described_topics:
            return
        if where not in self._described_topics:
            for old, text in discovery.migration_messages(config.migrate_from):
                self._outbox.put_event(Outgoing(old, text, retain=False, qos=1))
        self._described_topics.add(where)
        if before.keys() - entities.keys():  # first a description with the removed entities, then one without them
            self._outbox.put_event(Outgoing(where, _json(description), retain=False, qos=1))
            description = discovery.describe_device(printer, self._topics)
        self._outbox.put(Outgoing(where, _json(description)))
        for old in config.migrate_from:
            self._outbox.put(Outgoing(old, ""))
        self._save_announcement(announcement)

    def _remove_topics(self, announced: Mapping[str, Any]) -> None:
        """Remove the topics of an earlier name from the broker."""
        base = Topics(str(announced["base"]))
        for each in (announced.get("discovery"), base.availability, *(base.of_part(part) for part in PARTS)):
            if each:
                self._outbox.put(Outgoing(each, ""))

    def _save_announcement(self, announced: dict[str, Any]) -> None:
        self._announcement = announced
        task = asyncio.create_task(asyncio.to_thread(self._write, announced))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _read(self) -> dict[str, Any]:
        try:
            announced = json.loads((self.folder / ANNOUNCEMENT_FILE).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return announced if isinstance(announced, dict) else {}

    def _write(self, announced: Mapping[str, Any]) -> None:
        try:
            write_private(self.folder / ANNOUNCEMENT_FILE, json.dumps(announced), replace=True)
        except OSError as error:
            log.warning("mqtt.not_kept", reason=str(error), consequence="topics of an earlier name stay at the broker")

    # -- the broker --------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        config = self._config
        topics = [f"{config.discovery_prefix}/status"] if config.home_assistant else []
        topics += [self._topics.command] if config.commands else []
        self._broker = Broker(
            config,
            self._outbox,
            availability=self._topics.availability,
            topics=topics,
            on_message=self._on_message,
            identifier=f"nozzled-{self._id}",
            **self._options,
        )
        self._broker.on_change = self._tell_front
        self._tell_front()
        await self._broker.run()

    async def _on_message(self, topic: str, payload: bytes, *, retained: bool) -> None:
        if topic == self._topics.command:
            if retained:  # it may be from another time
                log.warning("mqtt.retained_command", consequence="it is not done", remedy="publish it without retain")
            elif self._command_queue.full():
                log.warning("mqtt.too_many_commands", consequence="this one is not done")
            else:
                now = asyncio.get_running_loop().time()
                is_late = now - self._ticked_at > LATE_S or now < self._late_until
                received_at = now - 2 * LATE_S if is_late else now  # a time so long ago that it is refused
                self._command_queue.put_nowait((received_at, payload))
        elif payload == b"online":  # Home Assistant has restarted
            delay = random.uniform(0, MAX_BIRTH_DELAY)  # noqa: S311 - no secret
            asyncio.get_running_loop().call_later(delay, self._outbox.requeue_retained)

    async def _carry_out_commands(self) -> None:
        while True:
            received_at, payload = await self._command_queue.get()
            is_late = asyncio.get_running_loop().time() - received_at > LATE_S
            result = await self._commands.carry_out(payload, is_late=is_late)
            log.info("mqtt.command", verb=result["verb"], ok=result["ok"], error=result["error"])
            self._outbox.put_event(Outgoing(self._topics.result, _json(result), retain=False, qos=1))

    # -- the front ---------------------------------------------------------------------------------------------------

    def _tell_front(self) -> None:
        broker = self._broker
        self.report_state(
            {
                "connected": broker is not None and broker.is_connected,
                "trouble": broker.trouble if broker is not None else None,
                "broker": f"{self._config.host}:{self._config.broker_port}",
                "topic": self._topics.base,
                "commands": self._config.commands,
            }
        )

    def describe_activity(self) -> str:
        """Return the line for `systemctl status`."""
        if self._broker is None:
            return "waiting for the front"
        where = f"{self._config.host}:{self._config.broker_port}"
        return (
            f"publishing to {where}"
            if self._broker.is_connected
            else f"waiting for {where}: {self._broker.trouble or ''}"
        )


def _json(payload: object) -> str:
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()  # a name may have lone surrogates, which are not UTF-8
