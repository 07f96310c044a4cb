import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from daemon.config import Config, chosen_port
from daemon.core.connection.connection import Connection
from daemon.core.connection.losing import LossCount
from daemon.errors import PortNotAllowed
from gcode.dialect import MARLIN
from gcode.errors import CommandError, ForbiddenCommand, PrinterSilent
from gcode.flight import LinkEstimate
from gcode.modes import Modes
from hal import ports
from hal.driver import LinePrinter
from hal.errors import AddressError, NoSuchPort, NotConnected, RecordingError
from hal.ports import Port
from hal.printer import ConnectionState, FirmwareIdentity
from hal.simulated.firmware import Firmware, FirmwareConfig
from hal.simulated.memory import SimulatedTransport
from hal.simulated.oracle import Oracle
from support.waiting import until

C = ConnectionState


class MissingPort(SimulatedTransport):
    async def open(self, on_data, on_lost):  # noqa: ARG002 - the interface
        raise NoSuchPort("/dev/ttyX is not there")


class Ports:
    """Makes printers by address, and records the addresses."""

    def __init__(self):
        self.addresses, self.baudrates, self.transports, self.oracle = [], [], [], Oracle(keep=None)
        self.failures_left = 0  # so many attempts find no port

    def create(self, address, settings, _wrap, _logbook):
        self.addresses.append(str(address))
        self.baudrates.append(address.options.get("baudrate"))
        self.failures_left -= 1
        kind = MissingPort if self.failures_left >= 0 else SimulatedTransport
        self.transports.append(kind(Firmware(FirmwareConfig(), self.oracle)))
        return LinePrinter(self.transports[-1], settings)

    @property
    def accepted(self):
        return [each.command for each in self.oracle.commands]


@pytest.fixture
def fake_ports(monkeypatch):
    fake_ports = Ports()
    monkeypatch.setattr("daemon.core.connection.making.create", fake_ports.create)
    monkeypatch.setattr(ports, "list_ports", lambda *_roots: [])
    return fake_ports


@asynccontextmanager
async def new_connection(address="sim", scripts=(), extra=(), **printer):
    config = Config()
    config = replace(config, printer=replace(config.printer, address=address, **printer))
    config = replace(config, scripts=replace(config.scripts, connected=scripts))
    connection = Connection(config, extra)
    try:
        yield connection
    finally:
        await connection.disconnect()


async def test_a_connection_runs_its_script(fake_ports):
    async with new_connection(scripts=("M117 hello", "G21")) as connection:
        assert (connection.state, connection.ready, connection.error, connection.address) == (
            C.OFFLINE,
            False,
            None,
            "sim",
        )
        connection.keep_connected()
        await until(lambda: "G21" in fake_ports.accepted)
        assert connection.ready
        assert fake_ports.accepted[-2:] == ["M117 hello", "G21"]


async def test_the_connection_script_may_not_heat_beyond_the_profile(fake_ports):
    async with new_connection(scripts=("M117 hello", "M104 S999", "G21")) as connection:
        connection.keep_connected()
        await until(lambda: connection.ready and "M117 hello" in fake_ports.accepted)
        await asyncio.sleep(5)
        assert not {"M104 S999", "G21"} & set(fake_ports.accepted)


class Deaf(SimulatedTransport):
    """A printer at another baudrate: both directions are noise."""

    async def open(self, on_data, on_lost):
        self.on_data = on_data
        await super().open(lambda _: None, on_lost)

    def write(self, data):  # noqa: ARG002 - whatever it is
        self.on_data(b"\xff\x00\xf3")


@pytest.fixture
def speaks_250000(fake_ports, monkeypatch):
    def create(address, settings, _wrap, _logbook):
        fake_ports.addresses.append(str(address))
        kind = SimulatedTransport if address.options["baudrate"] == "250000" else Deaf
        fake_ports.transports.append(kind(Firmware(FirmwareConfig(), fake_ports.oracle), str(address)))
        return LinePrinter(fake_ports.transports[-1], settings)

    monkeypatch.setattr("daemon.core.connection.making.create", create)
    return fake_ports


async def test_an_unknown_baudrate_is_found_and_remembered(speaks_250000):
    async with new_connection("serial:/dev/ttyX", baudrate=0, retry_s=1.0) as connection:
        began = asyncio.get_running_loop().time()
        assert (await connection.options()).baudrate_preference is None
        connection.keep_connected()
        await until(lambda: connection.ready)
        assert asyncio.get_running_loop().time() < began + 20
        assert speaks_250000.addresses == ["serial:/dev/ttyX?baudrate=115200", "serial:/dev/ttyX?baudrate=250000"]
        assert connection.printer.address == "serial:/dev/ttyX?baudrate=250000", "by which the next host finds it"
        assert ((await connection.options()).baudrate, connection.error) == (250000, None)
        connection.printer._transport.unplug()
        await until(lambda: not connection.ready)
        await until(lambda: connection.ready)
        assert speaks_250000.addresses[2:] == ["serial:/dev/ttyX?baudrate=250000"]


async def test_a_printer_that_answers_at_no_baudrate_is_reported_with_all_of_them(fake_ports, monkeypatch):
    def create(address, settings, _wrap, _logbook):
        return LinePrinter(Deaf(Firmware(FirmwareConfig(), fake_ports.oracle), str(address)), settings)

    monkeypatch.setattr("daemon.core.connection.making.create", create)
    async with new_connection("serial:/dev/ttyX", baudrate=0) as connection:
        errors = []
        connection.subscribe(lambda event: errors.append(str(event.error)) if getattr(event, "error", None) else None)
        await connection.connect()
        await until(lambda: "at any of the usual" in (connection.error or ""))
        assert "no printer answers on /dev/ttyX at any of the usual baudrates (115200, 250000, " in connection.error
        assert errors[-1] == connection.error


async def test_a_remembered_baudrate_is_tried_first_but_not_forever(speaks_250000):
    for remembered, tried in ((250000, ["250000"]), (9600, ["9600", "115200", "250000"])):
        speaks_250000.addresses.clear()
        async with new_connection("serial:/dev/ttyX", baudrate=0, retry_s=1.0) as connection:
            connection.remember("/dev/ttyX", remembered)
            connection.keep_connected()
            await until(lambda connection=connection: connection.ready)
        assert speaks_250000.addresses == [f"serial:/dev/ttyX?baudrate={rate}" for rate in tried]


async def test_only_the_configured_baudrate_is_tried(speaks_250000):
    for address, rate in (("serial:/dev/ttyX", 115200), ("serial:/dev/ttyX?baudrate=9600", 0)):
        async with new_connection(address, baudrate=rate, connect_timeout_s=20.0) as connection:
            await connection.connect()
            await until(lambda connection=connection: connection.error is not None)
            assert "no printer answers" in connection.error
    assert len(speaks_250000.addresses) == 2


async def test_a_missing_port_is_tried_at_one_baudrate(fake_ports):
    fake_ports.failures_left = 100
    async with new_connection("serial:/dev/ttyX", baudrate=0) as connection:
        await connection.connect()
        await until(lambda: connection.error is not None)
        await asyncio.sleep(100)
    assert set(fake_ports.baudrates) == {"115200"}


async def test_the_configured_printer_is_reconnected_even_after_a_clients_request(fake_ports):
    fake_ports.failures_left = 3
    async with new_connection("serial:/dev/ttyX", retry_s=1.0) as connection:
        await connection.connect()
        await until(lambda: connection.ready)
        connection.printer._transport.unplug()
        await until(lambda: not connection.ready)
        await until(lambda: connection.ready)
        await connection.connect("/dev/ttyX", 250000)
        await until(lambda: connection.ready and fake_ports.baudrates[-1] == "250000")
        connection.printer._transport.unplug()
        await until(lambda: not connection.ready)
        await until(lambda: connection.ready)


async def test_a_failed_script_is_named_and_leaves_the_printer_connected(fake_ports):
    async with new_connection(scripts=("M110 N0", "G21")) as connection:
        with capture_logs() as logs:
            connection.keep_connected()
            await asyncio.sleep(100)
        assert (connection.state, connection.error, fake_ports.addresses) == (C.READY, None, ["sim"])
        entries = {each["event"]: each for each in logs}
        assert "printer.unreachable" not in entries
        assert "printer.connected" in entries
        assert "M110" in entries["printer.script_failed"]["reason"]


async def test_a_printer_that_cannot_be_created_is_a_fault_with_its_reason(fake_ports, monkeypatch):
    def gone(*_):
        raise RecordingError("the recording is gone")

    async with new_connection() as connection:
        monkeypatch.setattr("daemon.core.connection.making.create", gone)
        connection.keep_connected()
        await asyncio.sleep(1)
        assert (connection.state, connection.error) == (C.FAULT, "the recording is gone")
        await connection.disconnect()
        assert (connection.state, connection.error) == (C.OFFLINE, None)


async def test_without_an_address_nothing_is_connected(fake_ports):
    async with new_connection("") as connection:
        connection.keep_connected()
        await asyncio.sleep(100)
        assert fake_ports.addresses == []
        with pytest.raises(PortNotAllowed):
            await connection.connect()


async def test_connecting_is_retried_until_the_printer_appears(fake_ports):
    fake_ports.failures_left = 3
    async with new_connection(retry_s=5.0) as connection:
        began = asyncio.get_running_loop().time()
        connection.keep_connected()
        await asyncio.sleep(1)
        assert connection.state is C.FAULT
        assert connection.error == "/dev/ttyX is not there"
        await until(lambda: connection.ready)
        assert asyncio.get_running_loop().time() - began == pytest.approx(15, abs=1)
        assert len(fake_ports.addresses) == 4
        assert connection.error is None


async def test_a_clients_connect_is_tried_once(fake_ports):
    fake_ports.failures_left = 1
    async with new_connection("") as connection:
        await connection.connect("VIRTUAL")
        await asyncio.sleep(100)
        assert fake_ports.addresses == ["sim"]
        assert connection.state is C.FAULT


async def test_a_lost_printer_is_reconnected(fake_ports):
    async with new_connection(retry_s=5.0) as connection:
        connection.keep_connected()
        await until(lambda: connection.ready)
        fake_ports.transports[0].unplug()
        await until(lambda: not connection.ready)
        assert "unplugged" in connection.error
        assert connection.heaters == {}
        await until(lambda: connection.ready)
        assert len(fake_ports.addresses) == 2


async def test_a_printer_stopped_by_a_user_is_not_reconnected(fake_ports):
    async with new_connection() as connection:
        connection.keep_connected()
        await until(lambda: connection.ready)
        connection.emergency_stop()
        await asyncio.sleep(600)
        assert connection.state is C.FAULT
        assert fake_ports.addresses == ["sim"], "a user has to look first"
        connection.keep_connected()
        await until(lambda: connection.ready)
        fake_ports.transports[-1].unplug()
        await until(lambda: not connection.ready)
        await until(lambda: connection.ready)


async def test_a_printer_stopped_by_the_host_is_reconnected(fake_ports):
    async with new_connection() as connection:
        connection.keep_connected()
        await until(lambda: connection.ready)
        connection.printer.emergency_stop("emergency stop: heaters off was not acknowledged")
        assert connection.error == "emergency stop: heaters off was not acknowledged"
        await until(lambda: connection.ready)
        assert connection.error is None
        assert len(fake_ports.addresses) == 2


async def test_disconnecting_ends_the_retries(fake_ports):
    fake_ports.failures_left = 1000
    async with new_connection() as connection:
        connection.keep_connected()
        await asyncio.sleep(20)
        await connection.disconnect()
        tried = len(fake_ports.addresses)
        await asyncio.sleep(100)
        assert len(fake_ports.addresses) == tried
        assert (connection.state, connection.error) == (C.OFFLINE, None)
        await connection.disconnect()


async def test_disconnecting_ends_an_attempt_that_begins_in_the_same_moment(fake_ports):
    async with new_connection() as connection:
        connection.keep_connected()
        await until(lambda: connection.ready)
        leaving = asyncio.create_task(connection.disconnect())
        await asyncio.sleep(0)
        connection.keep_connected()  # as a job that has just lost its connection
        await leaving
        await asyncio.sleep(100)
        assert connection.state is C.OFFLINE


async def test_an_emergency_stop_during_a_disconnect_is_sent(fake_ports):
    fake_ports.failures_left = 100
    async with new_connection() as connection:
        connection.keep_connected()
        await asyncio.sleep(20)
        leaving = asyncio.create_task(connection.disconnect())
        await asyncio.sleep(0)
        fake_ports.failures_left = 0
        connection.emergency_stop()
        await leaving
        await asyncio.sleep(10)
        assert connection.stop_confirmed


async def test_disconnecting_works_while_the_port_is_being_opened(fake_ports):
    async with new_connection() as connection:
        connection.keep_connected()
        await until(lambda: connection.state is C.HANDSHAKING)
        await connection.disconnect()
        assert connection.state is C.OFFLINE
        await asyncio.sleep(100)
        assert connection.state is C.OFFLINE


async def test_connecting_again_closes_the_old_port_first(fake_ports):
    async with new_connection() as connection:
        await connection.connect()
        await until(lambda: connection.ready)
        first, order = connection.printer, []
        connection.before_close(lambda: asyncio.sleep(0, order.append(connection.printer)))
        await connection.connect()
        await until(lambda: connection.ready and connection.printer is not first)
        assert order == [first]
        assert first.state is C.OFFLINE
        assert len(fake_ports.addresses) == 2


async def test_connecting_twice_quickly_does_not_end_what_makes_the_old_printer_safe(fake_ports):
    async with new_connection() as connection:
        await connection.connect()
        await until(lambda: connection.ready)
        first, safe = connection.printer, []

        async def make_safe():
            safe.append("begun")
            await asyncio.sleep(3)
            safe.append(first.state)

        connection.before_close(make_safe)
        await connection.connect()
        await asyncio.sleep(1)
        await connection.connect()
        await asyncio.sleep(1)
        await connection.connect()
        await until(lambda: connection.ready and connection.printer is not first)
        assert safe == ["begun", C.READY]
        assert first.state is C.OFFLINE
        assert len(fake_ports.addresses) == 2
        connection.before_close(lambda: asyncio.sleep(0))


BY_ID = "/dev/serial/by-id/usb-P"
BY_PATH = "/dev/serial/by-path/pci-0000:01:00.0-usb-0:1.2:1.0-port0"


@pytest.mark.parametrize(
    ("port", "baudrate", "address", "used"),
    [
        (None, None, "serial:/dev/ttyA", "115200"),
        ("AUTO", 250000, "serial:/dev/ttyA?baudrate=250000", "250000"),
        ("/dev/ttyA", None, "serial:/dev/ttyA", "115200"),
        ("serial:/dev/ttyA", None, "serial:/dev/ttyA", "115200"),
        ("serial:/dev/ttyA?baudrate=9600", None, "serial:/dev/ttyA?baudrate=9600", "9600"),
        ("serial:/dev/ttyA?baudrate=9600", 250000, "serial:/dev/ttyA?baudrate=250000", "250000"),
        ("/dev/pts/7", 9600, "serial:/dev/pts/7?baudrate=9600", "9600"),
        ("serial:/dev/pts/7", None, "serial:/dev/pts/7", "115200"),
        ("/opt/x1", None, "serial:/opt/x1", "115200"),
        ("/opt/x 1", None, "serial:/opt/x%201", "115200"),
        ("/dev/ttyUSB7", None, "serial:/dev/ttyUSB7", "115200"),
        ("serial:/dev/ttyUSB7", None, "serial:/dev/ttyUSB7", "115200"),
        (BY_ID, None, f"serial:{BY_ID}", "115200"),
        (f"serial:{BY_ID}", 9600, f"serial:{BY_ID}?baudrate=9600", "9600"),
        (f"serial:{BY_PATH}", 9600, f"serial:{BY_PATH}?baudrate=9600", "9600"),  # by which twins are listed
        ("VIRTUAL", 9600, "sim", None),
        ("sim", None, "sim", None),
    ],
)
async def test_listed_ports_are_accepted_with_a_baudrate(fake_ports, monkeypatch, port, baudrate, address, used):
    monkeypatch.setattr(ports, "list_ports", lambda: [ports.Port("/dev/ttyUSB7", BY_ID, by_path=BY_PATH)])
    async with new_connection("serial:/dev/ttyA", extra=("/dev/pts/*",), extra_ports=("/opt/x*",)) as connection:
        await connection.connect(port, baudrate)
        await until(lambda: connection.ready)
        assert (fake_ports.addresses, fake_ports.baudrates) == ([address], [used])


async def test_the_configured_printer_keeps_its_options_under_any_of_its_names(fake_ports):
    async with new_connection("serial:/dev/ttyA?baudrate=250000") as connection:
        for port in ("/dev/ttyA", "serial:/dev/ttyA", "serial:/dev/ttyA?baudrate=250000"):
            await connection.connect(port)
            await until(lambda: connection.ready)
            await connection.disconnect()
    assert fake_ports.baudrates == ["250000"] * 3


@pytest.mark.parametrize(
    "port",
    [
        "/dev/ttyB",
        "/etc/passwd",
        "/opt/x12",
        "/dev",
        "serial:/dev/ttyB",
        "/opt/in/../../etc/passwd",  # upwards: `..` matches `*`
        "/opt/in/..",
        "/opt/in/./a",
        "/opt/in/a/b",  # `*` is one part of a path
        "/opt/in//a",
        "//opt/in/a",
        "/opt/in/a/",
        "serial:/opt/in/../secret",
        "serial:/opt/in/%2E%2E/secret",
        "serial:auto",
        "sim?oracle=/tmp/of-the-client",
        "replay:/etc/passwd",
    ],
)
async def test_unlisted_ports_are_refused(fake_ports, port):
    async with new_connection(
        "serial:/dev/ttyA", extra_ports=("/opt/x?", "/opt/in/*", "/opt/in/*/secret")
    ) as connection:
        with pytest.raises(PortNotAllowed):
            await connection.connect(port)
        assert fake_ports.addresses == []


@pytest.mark.parametrize("port", ["COM3", "serial:/dev/ttyA?baudrate=abc", "serial:/opt/a?speed=1", "/opt/a\0"])
async def test_an_invalid_port_is_refused_at_once(fake_ports, port):
    async with new_connection("serial:/dev/ttyA", extra_ports=("/opt/*",)) as connection:
        with pytest.raises(AddressError):
            await connection.connect(port)
        assert fake_ports.addresses == []


@pytest.mark.parametrize(
    "address",
    [
        "serial:/dev/ttyS0?baudrate=abc",
        "sim?speed=-3",
        "serial:dev/ttyACM0",
        "serial:/dev/ttyS0?bogus=1",
        "serial:",
        "sim:foo",
        "serial:dev/my printer",
    ],
)
async def test_an_invalid_configured_address_is_refused_as_it_was_written(address):
    with pytest.raises(AddressError, match=f"^{re.escape(address)}: "):
        async with new_connection(address):
            pass


async def test_listing_options_opens_no_port(fake_ports):
    async with new_connection("serial:/dev/ttyA") as connection:
        options = await connection.options()
        assert "/dev/ttyA" in options.ports
        assert options.port is None
        assert 250000 in options.baudrates
        assert fake_ports.addresses == []


async def test_commands_are_checked_together(fake_ports):
    async with new_connection() as connection:
        with pytest.raises(NotConnected):
            await connection.commands.send(["M105"])
        connection.keep_connected()
        await until(lambda: connection.ready)
        await asyncio.sleep(1)
        before = len(fake_ports.accepted)
        for wrong, error in (("M110 N0", ForbiddenCommand), ("M117 a\nM112", CommandError)):
            with pytest.raises(error):
                await connection.commands.send(["G1 X1", wrong])
        await asyncio.sleep(1)
        assert len(fake_ports.accepted) == before, "none is sent"
        await connection.commands.send(["G1 X1", "G1 X2"])
        await asyncio.sleep(1)
        assert fake_ports.accepted[before:] == ["G1 X1", "G1 X2"]


@pytest.mark.parametrize("stop", ["M112", "m 0112"])
async def test_m112_stops_at_once(fake_ports, stop):
    async with new_connection() as connection:
        connection.keep_connected()
        await until(lambda: connection.ready)
        await connection.commands.send(["G28", stop])
        assert connection.state is C.FAULT
        assert "G28" not in fake_ports.accepted


async def test_m112_is_the_only_command_accepted_during_the_handshake(fake_ports):
    async with new_connection() as connection:
        connection.keep_connected()
        await until(lambda: connection.state is C.HANDSHAKING)
        with pytest.raises(NotConnected):
            await connection.commands.send(["G28"])
        await connection.commands.send(["M112"])
        assert connection.state is C.FAULT
        await asyncio.sleep(60)
        assert connection.state is C.FAULT, "the user who has stopped it has to connect it"


async def test_listeners_get_events_of_every_printer(fake_ports):
    async with new_connection() as connection:
        events = []
        connection.subscribe(events.append)
        connection.keep_connected()
        await until(lambda: connection.ready)
        fake_ports.transports[0].unplug()
        await until(lambda: len(fake_ports.addresses) == 2 and connection.ready)
        news = [event.new for event in events if hasattr(event, "new")]
        assert news == [C.OPENING, C.HANDSHAKING, C.READY, C.FAULT, C.OPENING, C.HANDSHAKING, C.READY]


PRUSA = Port("/dev/ttyACM0", BY_ID, "Prusa", 0x2C99, 2, "CZPX1", "1-1.2", "1.0")
OTHER = Port("/dev/ttyUSB0", BY_ID + "-2", "CH340", 0x1A86, 0x7523, None, "1-1.3", "1.0")


class Reattachable(LinePrinter):
    """A printer that accepts any snapshot."""

    async def reattach(self, snapshot, identity, keep_heat_until):  # noqa: ARG002 - the interface
        await self.open()


async def test_a_host_that_reattaches_knows_the_port_of_the_board(fake_ports, monkeypatch):
    """The helper that turns heaters off gets the port's name from `stable_port`."""
    device = PRUSA.device
    monkeypatch.setattr("daemon.core.connection.making.create", lambda *_: Reattachable(SimulatedTransport(Firmware())))
    monkeypatch.setattr(ports, "list_ports", lambda *_: [PRUSA, OTHER])
    snapshot = LinkEstimate(7, Modes()).snapshot(8, MARLIN)
    async with new_connection("serial:auto") as connection:
        connection.remember("auto", 115200, device)  # as the previous process noted
        await connection.reattach("serial:auto", snapshot, FirmwareIdentity(), LossCount())
        assert (connection.ready, connection.device, connection.stable_port) == (True, device, BY_ID)
        monkeypatch.setattr(ports, "list_ports", lambda *_: [replace(PRUSA, path="/dev/ttyACM7", by_id=None)])
        await connection.reattach("serial:auto", snapshot, FirmwareIdentity(), LossCount())
        assert connection.stable_port == "/dev/ttyACM7"


async def test_only_the_last_attempt_to_reattach_to_a_silent_printer_may_turn_its_heaters_off(monkeypatch):
    """The attempts end together, however many there are."""
    begins, limits = asyncio.get_running_loop().time(), []

    class SilentPrinter(LinePrinter):
        async def reattach(self, snapshot, identity, keep_heat_until):  # noqa: ARG002 - the interface
            limits.append(keep_heat_until - begins)
            await asyncio.sleep(25)
            raise PrinterSilent("no answer")

    monkeypatch.setattr(
        "daemon.core.connection.making.create", lambda *_: SilentPrinter(SimulatedTransport(Firmware()))
    )
    async with new_connection("sim") as connection:
        snapshot = LinkEstimate(7, Modes()).snapshot(8, MARLIN)
        with pytest.raises(PrinterSilent):
            await connection.reattach("sim", snapshot, FirmwareIdentity(), LossCount())
    assert limits == pytest.approx([60.0] * 3)


# -- chosen over the API -----------------------------------------------------------------------------------


async def test_a_printer_found_at_its_baudrate_becomes_the_configured_one(speaks_250000, monkeypatch):
    monkeypatch.setattr("hal.ports.list_ports", lambda *_: [Port("/dev/ttyX", None)])
    chosen = []
    async with new_connection("", retry_s=1.0) as connection:
        connection.on_chosen = chosen.append
        await connection.connect("/dev/ttyX", find=True, save=True)
        await until(lambda: connection.ready)
        assert chosen == ["serial:/dev/ttyX?baudrate=250000"]
        assert (await connection.options()).port_preference == "/dev/ttyX"
        connection.printer._transport.unplug()
        await until(lambda: not connection.ready)
        await until(lambda: connection.ready)  # like a configured one, it is looked for
    assert [each.rpartition("=")[2] for each in speaks_250000.addresses] == ["115200", "250000", "250000"]


async def test_a_configured_or_simulated_printer_is_not_saved_as_a_choice(fake_ports):
    chosen = []
    for address, port in (("sim", None), ("", "VIRTUAL")):
        async with new_connection(address) as connection:
            connection.on_chosen = chosen.append
            await connection.connect(port, save=True)
            await until(lambda connection=connection: connection.ready)
    assert chosen == []


def test_a_choice_is_restored_at_the_next_start_if_it_is_still_valid(tmp_path):
    config = Config()
    assert chosen_port.with_chosen_port(config, tmp_path) == config
    chosen_port.save("serial:/dev/ttyX?baudrate=250000", tmp_path)
    assert chosen_port.with_chosen_port(config, tmp_path).printer.address == "serial:/dev/ttyX?baudrate=250000"
    own = replace(config, printer=replace(config.printer, address="sim"))
    assert chosen_port.with_chosen_port(own, tmp_path) == own  # the file wins
    for nonsense in (b"sim?oracle=/etc/passwd", b"\xff", b"", b"serial:/dev/x?parity=z"):
        (tmp_path / chosen_port.FILE).write_bytes(nonsense)
        assert chosen_port.with_chosen_port(config, tmp_path) == config
