"""The companion `mqtt`: listens to the front, tells the broker, and does what is asked for there, if it may."""

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
from daemon.companions.mqtt.payloads import MOST_HEATERS, OLD, PARTS, payloads, switch_of
from daemon.companions.mqtt.rates import Rates
from daemon.companions.mqtt.topics import Topics, cleaned
from daemon.private_file import write_private

TICK = 1.0  # s between two looks at what is due
MACHINE = 60.0  # s between two questions about the computer
BIRTH = 5.0  # s within which Home Assistant is answered when it begins; a farm does not answer at once
LATE = 10.0  # s after which a command is not done: whoever asked has given up, and another print may go on
DEAF = 3.0  # s after the process hung in which what was said meanwhile is read
MOST_COMMANDS = 16  # that wait
KEPT = "announced.json"
LONGEST_EVENT, LONGEST_NAME = 4096, 60  # characters
SUBSCRIPTION = {"page": {"program": True}, "state": False, "plugins": False, "events": [*discovery.EVENTS]}

log = structlog.get_logger()


class MqttCompanion(Companion):
    """Tells a broker what printer and print do."""

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
            config: where the broker is, and what it is told.
            environ: of this process.
            wall: the date, in s.

        Raises:
            ConfigError: the configuration, the password or a certificate cannot be used.
        """
        super().__init__(client, folder)
        check(config)
        self._config = config
        self._options = {"password": password(config, environ), "tls_context": tls_context(config)}
        self._wall = wall
        self._seen = FrontState()
        self._machine: Mapping[str, Any] = {}
        self._heard = -OLD  # when the front has said something, in loop time
        self._first = asyncio.Event()
        self._outbox = BrokerOutbox()
        self._rates = Rates(config.temperature_step_c, config.temperature_every_s)
        self._commands = MqttCommands(client)
        self._asked: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MOST_COMMANDS)
        self._ticked = asyncio.get_running_loop().time()
        self._deaf_until = 0.0  # this process has hung: what comes now was said long ago
        self._broker: Broker | None = None
        self._id = ""
        self._topics = Topics("")
        self._heaters: dict[str, None] = {}  # all that the printer has told of, in their order
        self._announced: dict[str, Any] = {}
        self._has_switch = False  # it was told of; one that is away for a while is no other device
        self._sent_once: set[str] = set()  # descriptions that this process has sent

    async def run(self) -> None:
        """Listen and tell, until cancelled."""
        self._announced = await asyncio.to_thread(self._read)
        self._heaters = dict.fromkeys(self._announced.get("heaters", ()))
        self._has_switch = self._announced.get("switch") is True
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._look_at_machine())
            await self._first.wait()  # what the printer is called comes from the front
            self._name()
            group.create_task(self._connect())
            group.create_task(self._obey())
            await self._tick()

    # -- listening -----------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        async for message in self.messages(SUBSCRIPTION):
            if not isinstance(message.payload, dict):
                continue
            if message.kind == "page":
                self._heard = asyncio.get_running_loop().time()
                self._seen.take(message.payload)
                if "server.uuid" in self._seen:
                    self._first.set()
                if self._topics.base and ("set" in message.payload or "all" in message.payload):
                    self._look()
            elif message.kind == "event" and self._topics.base:
                self._tell_event(message.payload)

    async def _look_at_machine(self) -> None:
        while True:
            with suppress(ClientError, KeyError, TypeError):
                self._machine = (await self.client.get("/api/health"))["machine"]
            await asyncio.sleep(MACHINE)

    async def _tick(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            self._notice_hanging(now())
            self._look()
            await asyncio.sleep(TICK)

    def _notice_hanging(self, now: float) -> None:
        if now - self._ticked > LATE:
            self._deaf_until = now + DEAF
        self._ticked = now

    # -- telling -------------------------------------------------------------------------------------------------

    def _name(self) -> None:
        self._id = self._config.id or cleaned(str(self._seen["server.uuid"]).replace("-", "")[:8])
        self._topics = Topics(f"{self._config.prefix}/{self._id}")
        before = self._announced.get("base")
        if before and before != self._topics.base:
            self._forget(self._announced)
            self._announced = {}

    def _look(self) -> None:
        """Tell what is worth it now."""
        now = asyncio.get_running_loop().time()
        known = now - self._heard < OLD
        found = payloads(self._seen, self._machine, self._wall(), known=known)
        for part, payload in self._rates.chosen(now, found).items():
            self._outbox.put(Outgoing(self._topics.of(part), _json(payload)))
        for heater in found["temperatures"]:
            if heater not in self._heaters and len(self._heaters) < MOST_HEATERS:
                self._heaters[heater] = None
        if "companions.power" in self._seen:
            self._has_switch = self._has_switch or switch_of(self._seen) is not None
        elif known:  # it is not switched on any more
            self._has_switch = False
        self._announce()

    def _tell_event(self, event: Mapping[str, Any]) -> None:
        name, payload = str(event.get("type")), event.get("payload")
        if name not in discovery.EVENTS:
            return
        text = _json({"event_type": discovery.EVENTS[name], "payload": payload})
        if len(text) > LONGEST_EVENT:
            text = _json({"event_type": discovery.EVENTS[name], "payload": None})
        self._outbox.event(Outgoing(self._topics.event(name), text, retain=False, qos=1))

    # -- Home Assistant --------------------------------------------------------------------------------------------

    def _announce(self) -> None:
        """Describe the printer, if it is not described so yet."""
        config = self._config
        where = discovery.topic(config.discovery_prefix, self._id)
        if not config.home_assistant:
            if self._announced.get("discovery"):
                self._outbox.put(Outgoing(self._announced["discovery"], ""))
                self._remember({})
            return
        told = discovery.Described(
            self._id,
            str(self._seen.get("server.name") or self._seen.get("profile.name") or "nozzled")[:LONGEST_NAME],
            str(self._seen.get("profile.model") or self._seen.get("printer.machine") or "")[:LONGEST_NAME],
            str(self._seen.get("printer.firmware") or self._announced.get("firmware") or "")[:LONGEST_NAME],
            config.url or self.client.url,
            tuple(self._heaters),
            config.commands,
            self._has_switch,
        )
        before = self._announced.get("entities", {})
        described = discovery.device(told, self._topics, before)
        entities = discovery.platforms(described)
        now = {
            "base": self._topics.base,
            "discovery": where,
            "entities": entities,
            "heaters": [*self._heaters],
            "switch": self._has_switch,
            "firmware": told.firmware,
            "description": described["device"],
        }
        if now == self._announced and where in self._sent_once:
            return
        if where not in self._sent_once:
            for old, text in discovery.migration(config.migrate_from):
                self._outbox.event(Outgoing(old, text, retain=False, qos=1))
        self._sent_once.add(where)
        if before.keys() - entities.keys():  # first with those that are removed, then without
            self._outbox.event(Outgoing(where, _json(described), retain=False, qos=1))
            described = discovery.device(told, self._topics)
        self._outbox.put(Outgoing(where, _json(described)))
        for old in config.migrate_from:
            self._outbox.put(Outgoing(old, ""))
        self._remember(now)

    def _forget(self, announced: Mapping[str, Any]) -> None:
        """Take away what stands at the broker under another name."""
        base = Topics(str(announced["base"]))
        for each in (announced.get("discovery"), base.availability, *(base.of(part) for part in PARTS)):
            if each:
                self._outbox.put(Outgoing(each, ""))

    def _remember(self, announced: dict[str, Any]) -> None:
        self._announced = announced
        task = asyncio.create_task(asyncio.to_thread(self._write, announced))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / KEPT).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, announced: Mapping[str, Any]) -> None:
        try:
            write_private(self.folder / KEPT, json.dumps(announced), replace=True)
        except OSError as error:
            log.warning("mqtt.not_kept", reason=str(error), consequence="what is renamed stays at the broker")

    # -- the broker --------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        config = self._config
        subscribe = [f"{config.discovery_prefix}/status"] if config.home_assistant else []
        subscribe += [self._topics.command] if config.commands else []
        self._broker = Broker(
            config,
            self._outbox,
            availability=self._topics.availability,
            subscribe=subscribe,
            hear=self._hear,
            identifier=f"nozzled-{self._id}",
            **self._options,
        )
        self._broker.changed = self._tell_front
        self._tell_front()
        await self._broker.run()

    async def _hear(self, topic: str, payload: bytes, *, retained: bool) -> None:
        if topic == self._topics.command:
            if retained:  # it was said to somebody else, once upon a time
                log.warning("mqtt.retained_command", consequence="it is not done", remedy="publish it without retain")
            elif self._asked.full():
                log.warning("mqtt.too_many_commands", consequence="this one is not done")
            else:
                now = asyncio.get_running_loop().time()
                late = now - self._ticked > LATE or now < self._deaf_until
                self._asked.put_nowait((now - 2 * LATE if late else now, payload))
        elif payload == b"online":  # Home Assistant has begun anew
            delay = random.uniform(0, BIRTH)  # noqa: S311 - no secret
            asyncio.get_running_loop().call_later(delay, self._outbox.again)

    async def _obey(self) -> None:
        while True:
            heard, payload = await self._asked.get()
            late = asyncio.get_running_loop().time() - heard > LATE
            result = await self._commands.result_of(payload, late=late)
            log.info("mqtt.command", verb=result["verb"], ok=result["ok"], error=result["error"])
            self._outbox.event(Outgoing(self._topics.result, _json(result), retain=False, qos=1))

    # -- the front ---------------------------------------------------------------------------------------------------

    def _tell_front(self) -> None:
        broker = self._broker
        self.tell(
            {
                "connected": broker is not None and broker.connected,
                "trouble": broker.trouble if broker is not None else None,
                "broker": f"{self._config.host}:{self._config.own_port}",
                "topic": self._topics.base,
                "commands": self._config.commands,
            }
        )

    def does(self) -> str:
        """Return the line for `systemctl status`."""
        if self._broker is None:
            return "waits for the front"
        where = f"{self._config.host}:{self._config.own_port}"
        return f"tells {where}" if self._broker.connected else f"waits for {where}: {self._broker.trouble or ''}"


def _json(payload: object) -> str:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
