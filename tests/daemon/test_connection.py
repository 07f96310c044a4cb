import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from daemon.config import Config, chosen_port
from daemon.core.connection.connection import Connection
from daemon.errors import PortNotAllowed
from gcode.errors import CommandError, ForbiddenCommand
from hal import ports
from hal.driver import LinePrinter
from hal.errors import AddressError, NoSuchPort, NotConnected, RecordingError
from hal.ports import Port
from hal.printer import ConnectionState
from hal.simulated.firmware import Firmware, FirmwareConfig
from hal.simulated.memory import SimulatedTransport
from hal.simulated.oracle import Oracle

C = ConnectionState


class Missing(SimulatedTransport):
    async def open(self, on_data, on_lost):  # noqa: ARG002 - the interface
        raise NoSuchPort("/dev/ttyX is not there")


class Ports:
    """Makes printers by address, and keeps what was asked for."""

    def __init__(self):
        self.asked, self.transports, self.oracle, self.missing = [], [], Oracle(keep=None), 0
        self.baudrates = []

    def create(self, address, settings, _wrap, _logbook):
        self.asked.append(str(address))
        self.baudrates.append(address.options.get("baudrate"))
        self.missing -= 1
        kind = Missing if self.missing >= 0 else SimulatedTransport
        self.transports.append(kind(Firmware(FirmwareConfig(), self.oracle)))
        return LinePrinter(self.transports[-1], settings)

    @property
    def accepted(self):
        return [each.command for each in self.oracle.commands]


@pytest.fixture
def made(monkeypatch):
    made = Ports()
    monkeypatch.setattr("daemon.core.connection.making.create", made.create)
    monkeypatch.setattr(ports, "list_ports", lambda *_roots: [])
    return made


@asynccontextmanager
async def connection(address="sim", scripts=(), extra=(), **printer):
    config = Config()
    config = replace(config, printer=replace(config.printer, address=address, **printer))
    config = replace(config, scripts=replace(config.scripts, connected=scripts))
    it = Connection(config, extra)
    try:
        yield it
    finally:
        await it.disconnect()


async def until(condition):
    async with asyncio.timeout(1000):
        while not condition():  # noqa: ASYNC110 - any condition, no listener
            await asyncio.sleep(0.01)


async def test_it_connects_and_runs_its_script(made):
    async with connection(scripts=("M117 hello", "G21")) as it:
        assert (it.state, it.ready, it.error, it.address) == (C.OFFLINE, False, None, "sim")
        it.keep_connected()
        await until(lambda: "G21" in made.accepted)
        assert it.ready
        assert made.accepted[-2:] == ["M117 hello", "G21"]


async def test_its_script_heats_no_further_than_the_profile_allows(made):
    async with connection(scripts=("M117 hello", "M104 S999", "G21")) as it:
        it.keep_connected()
        await until(lambda: it.ready and "M117 hello" in made.accepted)
        await asyncio.sleep(5)
        assert not {"M104 S999", "G21"} & set(made.accepted)


class Deaf(SimulatedTransport):
    """A printer at another baudrate: what is said arrives as noise, and so does what it says."""

    async def open(self, on_data, on_lost):
        self.on_data = on_data
        await super().open(lambda _: None, on_lost)

    def write(self, data):  # noqa: ARG002 - whatever it is
        self.on_data(b"\xff\x00\xf3")


@pytest.fixture
def speaks_250000(made, monkeypatch):
    def create(address, settings, _wrap, _logbook):
        made.asked.append(str(address))
        kind = SimulatedTransport if address.options["baudrate"] == "250000" else Deaf
        made.transports.append(kind(Firmware(FirmwareConfig(), made.oracle), str(address)))
        return LinePrinter(made.transports[-1], settings)

    monkeypatch.setattr("daemon.core.connection.making.create", create)
    return made


async def test_a_baudrate_that_nobody_knows_is_found_out_and_kept(speaks_250000):
    async with connection("serial:/dev/ttyX", baudrate=0, retry_s=1.0) as it:
        began = asyncio.get_running_loop().time()
        assert (await it.options()).baudrate_preference is None
        it.keep_connected()
        await until(lambda: it.ready)
        assert asyncio.get_running_loop().time() < began + 20
        assert speaks_250000.asked == ["serial:/dev/ttyX?baudrate=115200", "serial:/dev/ttyX?baudrate=250000"]
        assert it.printer.address == "serial:/dev/ttyX?baudrate=250000", "by which the next host finds it"
        assert ((await it.options()).baudrate, it.error) == (250000, None)
        it.printer._transport.unplug()
        await until(lambda: not it.ready)
        await until(lambda: it.ready)
        assert speaks_250000.asked[2:] == ["serial:/dev/ttyX?baudrate=250000"]


async def test_where_nobody_answers_at_any_baudrate_all_of_them_are_named(made, monkeypatch):
    def create(address, settings, _wrap, _logbook):
        return LinePrinter(Deaf(Firmware(FirmwareConfig(), made.oracle), str(address)), settings)

    monkeypatch.setattr("daemon.core.connection.making.create", create)
    async with connection("serial:/dev/ttyX", baudrate=0) as it:
        told = []
        it.subscribe(lambda event: told.append(str(event.error)) if getattr(event, "error", None) else None)
        await it.connect()
        await until(lambda: "at any of the usual" in (it.error or ""))
        assert "no printer answers on /dev/ttyX at any of the usual baudrates (115200, 250000, " in it.error
        assert told[-1] == it.error


async def test_a_baudrate_that_is_remembered_is_tried_first_and_not_for_ever(speaks_250000):
    for remembered, tried in ((250000, ["250000"]), (9600, ["9600", "115200", "250000"])):
        speaks_250000.asked.clear()
        async with connection("serial:/dev/ttyX", baudrate=0, retry_s=1.0) as it:
            it.remember("/dev/ttyX", remembered)
            it.keep_connected()
            await until(lambda it=it: it.ready)
        assert speaks_250000.asked == [f"serial:/dev/ttyX?baudrate={rate}" for rate in tried]


async def test_one_baudrate_that_is_given_is_the_only_one_tried(speaks_250000):
    for address, rate in (("serial:/dev/ttyX", 115200), ("serial:/dev/ttyX?baudrate=9600", 0)):
        async with connection(address, baudrate=rate, connect_timeout_s=20.0) as it:
            await it.connect()
            await until(lambda it=it: it.error is not None)
            assert "no printer answers" in it.error
    assert len(speaks_250000.asked) == 2


async def test_a_port_that_is_not_there_is_tried_at_one_baudrate(made):
    made.missing = 100
    async with connection("serial:/dev/ttyX", baudrate=0) as it:
        await it.connect()
        await until(lambda: it.error is not None)
        await asyncio.sleep(100)
    assert set(made.baudrates) == {"115200"}


async def test_the_given_printer_is_looked_for_also_after_a_client_has_asked_for_it(made):
    made.missing = 3
    async with connection("serial:/dev/ttyX", retry_s=1.0) as it:
        await it.connect()
        await until(lambda: it.ready)
        it.printer._transport.unplug()
        await until(lambda: not it.ready)
        await until(lambda: it.ready)
        await it.connect("/dev/ttyX", 250000)
        await until(lambda: it.ready and made.baudrates[-1] == "250000")
        it.printer._transport.unplug()
        await until(lambda: not it.ready)
        await until(lambda: it.ready)


async def test_a_script_that_fails_leaves_the_printer_connected_and_is_said_by_name(made):
    async with connection(scripts=("M110 N0", "G21")) as it:
        with capture_logs() as logs:
            it.keep_connected()
            await asyncio.sleep(100)
        assert (it.state, it.error, made.asked) == (C.READY, None, ["sim"])
        said = {each["event"]: each for each in logs}
        assert "printer.unreachable" not in said
        assert "printer.connected" in said
        assert "M110" in said["printer.script_failed"]["reason"]


async def test_a_printer_that_cannot_even_be_made_is_a_fault_with_its_reason(made, monkeypatch):
    def gone(*_):
        raise RecordingError("the recording is gone")

    async with connection() as it:
        monkeypatch.setattr("daemon.core.connection.making.create", gone)
        it.keep_connected()
        await asyncio.sleep(1)
        assert (it.state, it.error) == (C.FAULT, "the recording is gone")
        await it.disconnect()
        assert (it.state, it.error) == (C.OFFLINE, None)


async def test_without_an_address_nothing_is_connected(made):
    async with connection("") as it:
        it.keep_connected()
        await asyncio.sleep(100)
        assert made.asked == []
        with pytest.raises(PortNotAllowed):
            await it.connect()


async def test_it_keeps_trying_until_the_printer_is_there(made):
    made.missing = 3
    async with connection(retry_s=5.0) as it:
        began = asyncio.get_running_loop().time()
        it.keep_connected()
        await asyncio.sleep(1)
        assert it.state is C.FAULT
        assert it.error == "/dev/ttyX is not there"
        await until(lambda: it.ready)
        assert asyncio.get_running_loop().time() - began == pytest.approx(15, abs=1)
        assert len(made.asked) == 4
        assert it.error is None


async def test_a_client_tries_once(made):
    made.missing = 1
    async with connection("") as it:
        await it.connect("VIRTUAL")
        await asyncio.sleep(100)
        assert made.asked == ["sim"]
        assert it.state is C.FAULT


async def test_a_lost_printer_is_connected_to_again(made):
    async with connection(retry_s=5.0) as it:
        it.keep_connected()
        await until(lambda: it.ready)
        made.transports[0].unplug()
        await until(lambda: not it.ready)
        assert "unplugged" in it.error
        assert it.heaters == {}
        await until(lambda: it.ready)
        assert len(made.asked) == 2


async def test_a_firmware_that_a_user_has_stopped_is_left_alone(made):
    async with connection() as it:
        it.keep_connected()
        await until(lambda: it.ready)
        it.emergency_stop()
        await asyncio.sleep(600)
        assert it.state is C.FAULT
        assert made.asked == ["sim"], "somebody has to look first"
        it.keep_connected()
        await until(lambda: it.ready)
        made.transports[-1].unplug()
        await until(lambda: not it.ready)
        await until(lambda: it.ready)


async def test_one_that_this_host_had_to_stop_is_connected_to_again(made):
    async with connection() as it:
        it.keep_connected()
        await until(lambda: it.ready)
        it.printer.emergency_stop("emergency stop: heaters off was not acknowledged")
        assert it.error == "emergency stop: heaters off was not acknowledged"
        await until(lambda: it.ready)
        assert it.error is None
        assert len(made.asked) == 2


async def test_disconnecting_ends_the_trying(made):
    made.missing = 1000
    async with connection() as it:
        it.keep_connected()
        await asyncio.sleep(20)
        await it.disconnect()
        tried = len(made.asked)
        await asyncio.sleep(100)
        assert len(made.asked) == tried
        assert (it.state, it.error) == (C.OFFLINE, None)
        await it.disconnect()


async def test_disconnecting_in_the_middle_of_opening(made):
    async with connection() as it:
        it.keep_connected()
        await until(lambda: it.state is C.HANDSHAKING)
        await it.disconnect()
        assert it.state is C.OFFLINE
        await asyncio.sleep(100)
        assert it.state is C.OFFLINE


async def test_connecting_anew_closes_the_old_line_first(made):
    async with connection() as it:
        await it.connect()
        await until(lambda: it.ready)
        first, order = it.printer, []
        it.before_close(lambda: asyncio.sleep(0, order.append(it.printer)))
        await it.connect()
        await until(lambda: it.ready and it.printer is not first)
        assert order == [first]
        assert first.state is C.OFFLINE
        assert len(made.asked) == 2


async def test_connecting_twice_quickly_does_not_end_what_makes_the_old_printer_safe(made):
    async with connection() as it:
        await it.connect()
        await until(lambda: it.ready)
        first, safe = it.printer, []

        async def make_safe():
            safe.append("begun")
            await asyncio.sleep(3)
            safe.append(first.state)

        it.before_close(make_safe)
        await it.connect()
        await asyncio.sleep(1)
        await it.connect()
        await asyncio.sleep(1)
        await it.connect()
        await until(lambda: it.ready and it.printer is not first)
        assert safe == ["begun", C.READY]
        assert first.state is C.OFFLINE
        assert len(made.asked) == 2
        it.before_close(lambda: asyncio.sleep(0))


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
async def test_ports_that_may_be_connected_to(made, monkeypatch, port, baudrate, address, used):
    monkeypatch.setattr(ports, "list_ports", lambda: [ports.Port("/dev/ttyUSB7", BY_ID, by_path=BY_PATH)])
    async with connection("serial:/dev/ttyA", extra=("/dev/pts/*",), extra_ports=("/opt/x*",)) as it:
        await it.connect(port, baudrate)
        await until(lambda: it.ready)
        assert (made.asked, made.baudrates) == ([address], [used])


async def test_the_given_printer_keeps_its_options_by_whichever_name_it_is_called(made):
    async with connection("serial:/dev/ttyA?baudrate=250000") as it:
        for port in ("/dev/ttyA", "serial:/dev/ttyA", "serial:/dev/ttyA?baudrate=250000"):
            await it.connect(port)
            await until(lambda: it.ready)
            await it.disconnect()
    assert made.baudrates == ["250000"] * 3


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
async def test_no_other_port_may_be(made, port):
    async with connection("serial:/dev/ttyA", extra_ports=("/opt/x?", "/opt/in/*", "/opt/in/*/secret")) as it:
        with pytest.raises(PortNotAllowed):
            await it.connect(port)
        assert made.asked == []


@pytest.mark.parametrize("port", ["COM3", "serial:/dev/ttyA?baudrate=abc", "serial:/opt/a?speed=1", "/opt/a\0"])
async def test_a_port_that_means_nothing_is_refused_at_once(made, port):
    async with connection("serial:/dev/ttyA", extra_ports=("/opt/*",)) as it:
        with pytest.raises(AddressError):
            await it.connect(port)
        assert made.asked == []


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
async def test_a_configured_address_that_means_nothing_is_refused_at_once_as_it_was_written(address):
    with pytest.raises(AddressError, match=f"^{re.escape(address)}: "):
        async with connection(address):
            pass


async def test_options_open_nothing(made):
    async with connection("serial:/dev/ttyA") as it:
        options = await it.options()
        assert "/dev/ttyA" in options.ports
        assert options.port is None
        assert 250000 in options.baudrates
        assert made.asked == []


async def test_commands_are_checked_together(made):
    async with connection() as it:
        with pytest.raises(NotConnected):
            await it.commands.send(["M105"])
        it.keep_connected()
        await until(lambda: it.ready)
        await asyncio.sleep(1)
        before = len(made.accepted)
        for wrong, error in (("M110 N0", ForbiddenCommand), ("M117 a\nM112", CommandError)):
            with pytest.raises(error):
                await it.commands.send(["G1 X1", wrong])
        await asyncio.sleep(1)
        assert len(made.accepted) == before, "none is sent"
        await it.commands.send(["G1 X1", "G1 X2"])
        await asyncio.sleep(1)
        assert made.accepted[before:] == ["G1 X1", "G1 X2"]


@pytest.mark.parametrize("stop", ["M112", "m 0112"])
async def test_m112_stops_at_once(made, stop):
    async with connection() as it:
        it.keep_connected()
        await until(lambda: it.ready)
        await it.commands.send(["G28", stop])
        assert it.state is C.FAULT
        assert "G28" not in made.accepted


async def test_m112_stops_a_printer_that_is_being_greeted_and_nothing_else_is_taken(made):
    async with connection() as it:
        it.keep_connected()
        await until(lambda: it.state is C.HANDSHAKING)
        with pytest.raises(NotConnected):
            await it.commands.send(["G28"])
        await it.commands.send(["M112"])
        assert it.state is C.FAULT
        await asyncio.sleep(60)
        assert it.state is C.FAULT, "who has stopped it connects again"


async def test_listeners_hear_every_printer(made):
    async with connection() as it:
        events = []
        it.subscribe(events.append)
        it.keep_connected()
        await until(lambda: it.ready)
        made.transports[0].unplug()
        await until(lambda: len(made.asked) == 2 and it.ready)
        news = [event.new for event in events if hasattr(event, "new")]
        assert news == [C.OPENING, C.HANDSHAKING, C.READY, C.FAULT, C.OPENING, C.HANDSHAKING, C.READY]


# -- chosen over the API -----------------------------------------------------------------------------------


async def test_a_printer_is_found_at_its_baudrate_and_is_the_given_one_from_there_on(speaks_250000, monkeypatch):
    monkeypatch.setattr("hal.ports.list_ports", lambda *_: [Port("/dev/ttyX", None)])
    chosen = []
    async with connection("", retry_s=1.0) as it:
        it.on_chosen = chosen.append
        await it.connect("/dev/ttyX", find=True, save=True)
        await until(lambda: it.ready)
        assert chosen == ["serial:/dev/ttyX?baudrate=250000"]
        assert (await it.options()).port_preference == "/dev/ttyX"
        it.printer._transport.unplug()
        await until(lambda: not it.ready)
        await until(lambda: it.ready)  # as a configured one is looked for
    assert [each.rpartition("=")[2] for each in speaks_250000.asked] == ["115200", "250000", "250000"]


async def test_what_is_configured_and_the_simulated_printer_are_not_replaced_by_a_choice(made):
    chosen = []
    for address, port in (("sim", None), ("", "VIRTUAL")):
        async with connection(address) as it:
            it.on_chosen = chosen.append
            await it.connect(port, save=True)
            await until(lambda it=it: it.ready)
    assert chosen == []


def test_a_choice_is_read_at_the_next_start_unless_it_is_none_any_more(tmp_path):
    config = Config()
    assert chosen_port.with_chosen(config, tmp_path) == config
    chosen_port.keep("serial:/dev/ttyX?baudrate=250000", tmp_path)
    assert chosen_port.with_chosen(config, tmp_path).printer.address == "serial:/dev/ttyX?baudrate=250000"
    own = replace(config, printer=replace(config.printer, address="sim"))
    assert chosen_port.with_chosen(own, tmp_path) == own  # the file wins
    for nonsense in (b"sim?oracle=/etc/passwd", b"\xff", b"", b"serial:/dev/x?parity=z"):
        (tmp_path / chosen_port.FILE).write_bytes(nonsense)
        assert chosen_port.with_chosen(config, tmp_path) == config
