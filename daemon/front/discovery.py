"""Discovery: announces the daemon in the local network by mDNS, like OctoPrint.

A machine should have a single responder. So if Avahi runs and its folder is writable, it gets a service file. Otherwise
the library zeroconf answers, if it is installed (the extra `mdns`, some 5 MB). Without either, nothing is announced.
"""

import asyncio
import html
import importlib
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol

import structlog

from daemon import OCTOPRINT_VERSION
from daemon.config import Config
from daemon.front.access import hosts
from gcode.frozen import frozen

AVAHI = Path("/run/avahi-daemon")  # exists while Avahi runs
GOODBYE_TIMEOUT = 10.0  # s for the goodbye messages
ADDRESS_INTERVAL = 10.0  # s between two looks for an address; at boot there is none before Wi-Fi and DHCP are ready

log = structlog.get_logger()


@frozen
class Announcement:
    """The announcement: a name for users, the port, and the TXT records of each kind of service."""

    name: str
    port: int
    services: Mapping[str, Mapping[str, str]]


class Responder(Protocol):
    """Announces until it is stopped."""

    async def start(self) -> None:
        """Start announcing."""

    async def stop(self) -> None:
        """Stop announcing, and send goodbye messages if possible."""


class Discovery:
    """Announces the daemon, if the network can reach it and there is a responder."""

    def __init__(self, config: Config, uuid: str, host: str, port: int) -> None:
        """Prepare the announcement; `host` and `port` are those at which HTTP listens."""
        self._config = config
        self._host = host
        self._announcement = announcement(config, uuid, port)
        self._responder: Responder | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start announcing, in the background."""
        if self._config.discovery.mdns and not hosts.is_for_this_machine(self._host):
            self._task = asyncio.create_task(self._start())

    async def _start(self) -> None:
        """Start the first available responder; its errors are only logged."""
        try:
            if (address := await self._find_address()) is None:
                log.info("discovery.off", reason="no address of a local network")
                return
            self._responder = await asyncio.to_thread(self._choose, address)
            if self._responder is not None:
                await self._responder.start()
                log.info("discovery.announced", name=self._announcement.name, by=type(self._responder).__name__)
        except Exception as error:  # noqa: BLE001 - the library may raise anything, and printing must not depend on it
            log.warning("discovery.failed", reason=str(error) or type(error).__name__)

    async def _find_address(self) -> str | None:
        """Return the address to announce; a server that listens everywhere waits until there is one."""
        is_waiting = False
        while (address := await asyncio.to_thread(lan_address, self._host)) is None and self._host in hosts.EVERYWHERE:
            if not is_waiting:
                log.info("discovery.waits", reason="this computer has no address of a local network yet")
                is_waiting = True
            await asyncio.sleep(ADDRESS_INTERVAL)
        return address

    def _choose(self, address: str) -> Responder | None:
        """Return the responder to use. Blocks."""
        folder = Path(self._config.discovery.avahi_services)
        if AVAHI.exists() and os.access(folder, os.W_OK):
            return AvahiFile(folder, self._announcement)
        try:
            importlib.import_module("zeroconf.asyncio")
        except ImportError:
            log.info("discovery.off", reason=f"no Avahi with a writable {folder}, and zeroconf is not installed")
            return None
        return Zeroconf(self._announcement, address)

    async def stop(self) -> None:
        """Stop announcing."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._responder is not None:
            await self._responder.stop()


def announcement(config: Config, uuid: str, port: int) -> Announcement:
    """Return the announcement, with the TXT records that OctoPrint's clients read."""
    host = _short_name()
    name = f"{config.appearance.name or 'nozzled'} on {host}"
    octoprint = {"path": "/", "version": OCTOPRINT_VERSION, "api": "0.1", "uuid": uuid, "model": config.profile.model}
    return Announcement(_fitting(name), port, {"_octoprint._tcp": octoprint, "_http._tcp": {"path": "/"}})


def _short_name() -> str:
    """Return the first part of this machine's host name; never empty."""
    return hosts.host_name().partition(".")[0] or "localhost"


def _fitting(name: str) -> str:
    """Cut a name to the 63 bytes of a DNS label, without splitting a character."""
    return name.encode()[:63].decode(errors="ignore")


def lan_address(host: str) -> str | None:
    """Return the address by which the local network reaches a server listening on `host`; None: there is none. Blocks.

    Public addresses are never announced.
    """
    if host == "::":  # by IPv4, too: most providers give public addresses for IPv6
        return _local(_outgoing(socket.AF_INET6)) or _local(_outgoing(socket.AF_INET))
    return _local(_outgoing(socket.AF_INET) if host in hosts.EVERYWHERE else host)


def _local(address: str | None) -> str | None:
    """Return the address if it is one of a local network."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return None
    return str(parsed) if parsed.is_private and not parsed.is_loopback and not parsed.is_unspecified else None


def _outgoing(family: socket.AddressFamily) -> str | None:
    """Return this machine's address on the default route; None: there is no route. No packet is sent."""
    somewhere = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((somewhere, 9))
        return str(probe.getsockname()[0])
    return None


class AvahiFile:
    """A service file, by which Avahi announces the service until it is removed."""

    def __init__(self, folder: Path, announced: Announcement) -> None:
        self._path = folder / f"nozzled-{announced.port}.service"
        self._announcement = announced

    async def start(self) -> None:
        """Write the file."""
        await asyncio.to_thread(self._write)

    def _write(self) -> None:
        temporary = self._path.with_suffix(".new")
        temporary.write_text(service_file(self._announcement), "utf-8")  # as XML is, whatever the locale
        temporary.rename(self._path)

    async def stop(self) -> None:
        """Remove the file."""
        await asyncio.to_thread(self._path.unlink, missing_ok=True)


def service_file(announced: Announcement) -> str:
    """Return Avahi's service file (avahi.service(5))."""
    services = "".join(
        f" <service>\n  <type>{kind}</type>\n  <port>{announced.port}</port>\n"
        + "".join(f"  <txt-record>{html.escape(f'{name}={value}')}</txt-record>\n" for name, value in records.items())
        + " </service>\n"
        for kind, records in announced.services.items()
    )
    return (
        '<?xml version="1.0" standalone="no"?>\n<!DOCTYPE service-group SYSTEM "avahi-service.dtd">\n'
        f"<service-group>\n <name>{html.escape(announced.name)}</name>\n{services}</service-group>\n"
    )


class Zeroconf:
    """The library zeroconf, on the daemon's own loop."""

    def __init__(self, announced: Announcement, address: str) -> None:
        self._announcement = announced
        self._address = address
        self._zeroconf: Any = None

    async def start(self) -> None:
        """Announce on the interface of this address."""
        library = importlib.import_module("zeroconf")
        asynchronous = importlib.import_module("zeroconf.asyncio")
        self._zeroconf = asynchronous.AsyncZeroconf(interfaces=[self._address])
        for kind, records in self._announcement.services.items():
            info = library.ServiceInfo(
                f"{kind}.local.",
                f"{self._announcement.name.replace('.', ' ')}.{kind}.local.",
                port=self._announcement.port,
                properties=dict(records),
                parsed_addresses=[self._address],
                server=f"{_short_name()}.local.",
            )
            await self._zeroconf.async_register_service(info, allow_name_change=True)

    async def stop(self) -> None:
        """Send the goodbye messages."""
        if self._zeroconf is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_TIMEOUT):
                    await self._zeroconf.async_close()
