import asyncio
import importlib
import os
import socket
import sys
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from daemon.front import discovery
from daemon.front.access import hosts
from daemon.front.discovery import AvahiFile, Discovery, announcement, lan_address, service_file
from support.http import config
from support.processes import cannot_run
from support.waiting import TIMEOUT

UUID = "4ff9fe5f-3257-41fc-8e83-fcba84824b20"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.2.3"])
def test_loopback_addresses_are_for_this_machine(host):
    assert hosts.is_for_this_machine(host)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.168.1.5", "192.168.1.5"),
        ("10.0.0.5", "10.0.0.5"),
        ("fd00::5", "fd00::5"),
        ("8.8.8.8", None),
        ("127.0.0.1", None),
        ("printer.example", None),
    ],
)
def test_only_addresses_of_a_local_network_are_announced(host, address):
    assert lan_address(host) == address


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_a_service_listening_everywhere_is_announced_by_its_default_route(monkeypatch, host):
    routes = {socket.AF_INET: "192.168.7.7"}
    monkeypatch.setattr(discovery, "_outgoing", routes.get)
    assert lan_address(host) == "192.168.7.7"
    monkeypatch.setattr(discovery, "_outgoing", lambda _: None)
    assert lan_address(host) is None


def test_where_ipv6_has_a_public_address_the_one_for_ipv4_is_announced(monkeypatch):
    routes = {socket.AF_INET6: "2a02:810::7", socket.AF_INET: "192.168.7.7"}
    monkeypatch.setattr(discovery, "_outgoing", routes.get)
    assert lan_address("::") == "192.168.7.7"
    routes[socket.AF_INET6] = "fd00::7"
    assert lan_address("::") == "fd00::7"


@pytest.mark.parametrize(("host", "shown"), [(b"m\xfcller", "m?ller"), (b"", "localhost"), (b"pi.lan", "pi")])
def test_whatever_the_host_name_is_the_service_is_announced(tmp_path, monkeypatch, host, shown):
    monkeypatch.setattr(socket, "gethostname", lambda: os.fsdecode(host))
    assert announcement(config(tmp_path), UUID, 5000).name == f"nozzled on {shown}"
    assert f"http://{hosts.name_for_others('0.0.0.0', ())}:5000".encode()  # it can be encoded, as for a QR code


def test_the_service_file_has_the_fields_of_clients_and_escapes_names(tmp_path):
    configuration = config(tmp_path, appearance={"name": '<b>&"ü'}, profile={"model": "</txt-record>"})
    root = ET.fromstring(service_file(announcement(configuration, UUID, 5000)))
    assert root.find("name").text.startswith('<b>&"ü on ')
    services = {each.find("type").text: each for each in root.findall("service")}
    assert set(services) == {"_octoprint._tcp", "_http._tcp"}
    records = [record.text for record in services["_octoprint._tcp"].findall("txt-record")]
    assert records == ["path=/", "version=1.11.8", "api=0.1", f"uuid={UUID}", "model=</txt-record>"]
    assert {each.find("port").text for each in services.values()} == {"5000"}


@pytest.mark.parametrize("name", ["x" * 100, "ü" * 60, "日" * 40])
def test_a_name_fits_into_a_label_of_dns(tmp_path, name):
    label = announcement(config(tmp_path, appearance={"name": name}), UUID, 5000).name
    assert len(label.encode()) <= 63
    assert label.startswith(name[:10])


async def started(settings, monkeypatch, host="0.0.0.0", address="192.168.1.5"):
    """Return announcements that have begun; `host` is where HTTP listens, `address` the computer's."""
    monkeypatch.setattr(discovery, "lan_address", lambda _: address)
    announcer = Discovery(settings, UUID, host, 5000)
    announcer.start()
    if announcer._task is not None:
        await announcer._task
    return announcer


async def test_avahi_gets_a_file_that_is_removed_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(discovery, "AVAHI", tmp_path)
    folder = tmp_path / "services"
    folder.mkdir()
    settings = config(tmp_path, discovery={"avahi_services": str(folder)})
    announcer = await started(settings, monkeypatch)
    assert isinstance(announcer._responder, AvahiFile)
    assert [each.name for each in folder.iterdir()] == ["nozzled-5000.service"]
    await announcer.stop()
    assert list(folder.iterdir()) == []
    await announcer.stop()


@pytest.mark.parametrize(("host", "mdns"), [("127.0.0.1", True), ("0.0.0.0", False)])
async def test_nothing_is_announced_on_loopback_or_if_switched_off(tmp_path, monkeypatch, host, mdns):
    announcer = await started(config(tmp_path, discovery={"mdns": mdns}), monkeypatch, host)
    assert announcer._task is None
    await announcer.stop()


@pytest.mark.parametrize("configured", ["127.0.0.1", "0.0.0.0"])
async def test_what_counts_is_where_http_listens(tmp_path, monkeypatch, configured):
    """A socket of systemd may listen elsewhere than [http] host says."""
    folder = tmp_path / "services"
    folder.mkdir()
    monkeypatch.setattr(discovery, "AVAHI", tmp_path)
    settings = config(tmp_path, http={"host": configured}, discovery={"avahi_services": str(folder)})
    announcer = await started(settings, monkeypatch, "0.0.0.0")
    assert [each.name for each in folder.iterdir()] == ["nozzled-5000.service"]
    await announcer.stop()
    announcer = await started(settings, monkeypatch, "127.0.0.1")
    assert announcer._task is None


async def test_a_service_that_starts_before_the_network_is_announced_when_there_is_an_address(tmp_path, monkeypatch):
    folder = tmp_path / "services"
    folder.mkdir()
    addresses: list[str | None] = [None, None, None, "192.168.1.5"]
    monkeypatch.setattr(discovery, "AVAHI", tmp_path)
    monkeypatch.setattr(discovery, "lan_address", lambda _: addresses.pop(0))
    announcer = Discovery(config(tmp_path, discovery={"avahi_services": str(folder)}), UUID, "0.0.0.0", 5000)
    with capture_logs() as logs:
        announcer.start()
        await asyncio.sleep(2.5 * discovery.ADDRESS_INTERVAL)
        assert list(folder.iterdir()) == []
        await asyncio.sleep(discovery.ADDRESS_INTERVAL)
    assert [each.name for each in folder.iterdir()] == ["nozzled-5000.service"]
    assert [each["event"] for each in logs] == ["discovery.waits", "discovery.announced"]
    await announcer.stop()


async def test_a_service_that_waits_for_the_network_can_be_stopped(tmp_path, monkeypatch):
    looks = []
    monkeypatch.setattr(discovery, "lan_address", looks.append)
    announcer = Discovery(config(tmp_path), UUID, "0.0.0.0", 5000)
    announcer.start()
    await asyncio.sleep(0.1)
    before = asyncio.get_running_loop().time()
    async with asyncio.timeout(1):
        await announcer.stop()
    assert asyncio.get_running_loop().time() == before
    await asyncio.sleep(100)
    assert looks == ["0.0.0.0"]


async def test_without_avahi_zeroconf_or_a_network_nothing_is_announced_and_nothing_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(discovery, "AVAHI", tmp_path / "not there")
    settings = config(tmp_path)
    announcer = await started(settings, monkeypatch, "8.8.8.8", None)
    assert announcer._responder is None
    monkeypatch.setitem(sys.modules, "zeroconf.asyncio", None)
    announcer = await started(settings, monkeypatch)
    assert announcer._responder is None
    await announcer.stop()


async def test_a_fault_of_the_responder_is_logged_and_ends_nothing(tmp_path, monkeypatch, capsys):
    class Broken:
        async def start(self):
            raise OSError("no multicast here")

        async def stop(self):
            pass

    monkeypatch.setattr(Discovery, "_choose", lambda *_: Broken())
    announcer = await started(config(tmp_path), monkeypatch)
    await announcer.stop()
    assert "no multicast here" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["Avahi", "the right to write"])
async def test_without_avahi_or_the_right_to_write_zeroconf_announces_until_the_end(tmp_path, monkeypatch, missing):
    registered, calls = [], []

    class Zeroconf:
        def __init__(self, interfaces):
            calls.append(interfaces)

        async def async_register_service(self, info, *, allow_name_change):
            registered.append((info.kind, info.name, info.more["port"], info.more["parsed_addresses"]))
            assert allow_name_change

        async def async_close(self):
            calls.append("closed")

    def service(kind, name, **more):
        return SimpleNamespace(kind=kind, name=name, more=more)

    monkeypatch.setitem(sys.modules, "zeroconf", SimpleNamespace(ServiceInfo=service))
    monkeypatch.setitem(sys.modules, "zeroconf.asyncio", SimpleNamespace(AsyncZeroconf=Zeroconf))
    monkeypatch.setattr(discovery, "AVAHI", tmp_path / "none" if missing == "Avahi" else tmp_path)
    monkeypatch.setattr(discovery.os, "access", lambda *_: missing == "Avahi")
    settings = config(tmp_path, appearance={"name": "Anna's 2.0"}, discovery={"avahi_services": str(tmp_path)})
    announcer = await started(settings, monkeypatch)
    name = f"Anna's 2 0 on {announcer._announcement.name.rpartition(' ')[2]}"
    assert registered == [
        (f"{kind}.local.", f"{name}.{kind}.local.", 5000, ["192.168.1.5"]) for kind in ("_octoprint._tcp", "_http._tcp")
    ]
    assert calls == [["192.168.1.5"]], "only the interface of that address"
    await announcer.stop()
    assert calls[1:] == ["closed"]
    assert not [*tmp_path.glob("*.service")]


@pytest.mark.nightly  # multicast is the network's, not ours
@pytest.mark.real_time
async def test_zeroconf_finds_the_announced_service(tmp_path, monkeypatch):
    try:
        library = importlib.import_module("zeroconf.asyncio")
    except ImportError:
        cannot_run("zeroconf is not installed")
    monkeypatch.setattr(discovery, "AVAHI", tmp_path / "not there")
    monkeypatch.setattr(discovery.hosts, "is_for_this_machine", lambda _: False)
    announcer = await started(config(tmp_path, appearance={"name": "Anna"}), monkeypatch, address="127.0.0.1")
    seeker = library.AsyncZeroconf(interfaces=["127.0.0.1"])
    try:
        kind = "_octoprint._tcp.local."
        name = f"{announcer._announcement.name}.{kind}"
        async with asyncio.timeout(TIMEOUT):
            while (info := await seeker.async_get_service_info(kind, name, 3000)) is None:
                pass
        assert info.port == 5000
        assert info.decoded_properties["uuid"] == UUID
        assert info.decoded_properties["path"] == "/"
        assert info.parsed_addresses() == ["127.0.0.1"]
    finally:
        await seeker.async_close()
        await announcer.stop()
