"""A printer on the network: `tcp:HOST:PORT`, and the simulated one behind a TCP port."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from hal.errors import AddressError, NoSuchPort, PortLost
from hal.registry import check, create
from hal.simulated.config import FirmwareConfig
from hal.simulated.firmware import Firmware
from hal.simulated.oracle import Oracle
from hal.simulated.scenario import Fault, Scenario
from hal.simulated.tcp import TcpPrinter, _HostConnection
from hal.tcp_port import TcpTransport
from support.waiting import TIMEOUT, until

pytestmark = pytest.mark.real_time


@asynccontextmanager
async def simulated(*faults, **options):
    """A simulated printer on a free port of this machine: yields its oracle and its address."""
    oracle = Oracle(keep=None)
    printer = TcpPrinter(Firmware(FirmwareConfig(scenario=Scenario(faults)), oracle), "127.0.0.1", 0, **options)
    host, port = await printer.start()
    try:
        yield oracle, f"tcp:{host}:{port}"
    finally:
        printer.stop()
        await asyncio.sleep(0)  # what was aborted is closed in the loop's next turn


def port_of(address):
    return int(address.rpartition(":")[2])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("tcp:printer", "'printer' is not a host and port; write tcp:HOST:PORT"),
        ("tcp:printer:", "the port is ''; allowed: 1 to 65535"),
        ("tcp:printer:70000", "the port is '70000'; allowed: 1 to 65535"),
        ("tcp::8080", "':8080' is not a host and port"),
        ("tcp:fe80::1:8080", "is not a host and port"),
        ("tcp:printer:8080?baudrate=9600", "unknown option 'baudrate'; allowed: none"),
    ],
)
def test_an_invalid_address_is_refused(text, error):
    with pytest.raises(AddressError) as caught:
        check(text)
    assert error in str(caught.value)


def test_ipv6_addresses_are_in_brackets():
    assert check("tcp:[::1]:8080").target == "[::1]:8080"


async def test_a_print_arrives_over_the_network():
    async with simulated(speed=50) as (oracle, address):
        host = create(address)
        await host.open()
        assert host.identity.name.startswith("Marlin")
        for n in range(50):
            await host.send(f"G1 X{n} F6000")
        await host.close()
    moves = [each.command for each in oracle.commands if each.command.startswith("G1")]
    assert moves == [f"G1 X{n} F6000" for n in range(50)]


async def test_a_connection_need_not_reset_the_board():
    blocks = []
    async with simulated(reset_on_open=False) as (_, address):
        await asyncio.sleep(0.2)  # it boots before a host connects
        transport = TcpTransport("127.0.0.1", port_of(address))
        await transport.open(blocks.append, blocks.append)
        transport.write(b"N7 M105*0\n")
        await until(lambda: b"Last Line: 0" in b"".join(blocks), "an answer")
        transport.close()
    assert b"PowerUp" not in b"".join(blocks)


async def test_only_one_host_can_connect_at_a_time():
    blocks, lost = [], []
    async with simulated() as (_, address):
        first, second = (TcpTransport("127.0.0.1", port_of(address)) for _ in range(2))
        await first.open(blocks.append, lost.append)
        await until(lambda: b"M301" in b"".join(blocks), "the end of the banner")
        await second.open(lambda _: None, lost.append)
        await until(lambda: lost, "the second host to be hung up on")
        first.write(b"M105\n")
        await until(lambda: b"ok T:" in b"".join(blocks), "the first host's answer")
        first.close()
    assert len(lost) == 1


async def test_a_missing_service_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    # a port that was free a moment ago: a program that has taken it since speaks no G-code, and the test fails
    with pytest.raises(NoSuchPort, match="Nothing listens there; is it switched on"):
        await create(f"tcp:127.0.0.1:{port}").open()


async def test_an_unknown_host_name_is_reported():
    with pytest.raises(NoSuchPort, match=r"printer\.invalid:8080 cannot be reached\."):
        await TcpTransport("printer.invalid", 8080).open(lambda _: None, lambda _: None)


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
async def test_a_name_that_no_host_can_have_is_reported(host):
    with pytest.raises(NoSuchPort, match="is not a host name"):
        await TcpTransport(host, 8080).open(lambda _: None, lambda _: None)


async def test_a_pulled_cable_is_noticed_and_the_port_comes_back():
    blocks, lost = [], []
    async with simulated(Fault("unplug", line=2, seconds=100), speed=100) as (_, address):
        transport = TcpTransport("127.0.0.1", port_of(address))
        await transport.open(blocks.append, lost.append)
        await until(lambda: b"M301" in b"".join(blocks), "the end of the banner")
        transport.write(b"M400\nM400\n")
        await until(lambda: lost, "the hang-up")
        assert isinstance(lost[0], PortLost)
        assert await open_again(address)


async def open_again(address):
    """Connect as soon as there is a listener; return True once a printer has answered."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            host = create(address)
            try:
                await host.open()
            except NoSuchPort:
                await asyncio.sleep(0.05)
            else:
                await host.close()
                return True


@pytest.mark.parametrize(("waiting", "sent"), [(0, [b"ok"]), (100_000, [])])
def test_data_that_a_host_does_not_read_is_dropped(waiting, sent):
    class Socket(asyncio.Transport):
        def get_write_buffer_size(self):
            return waiting

        def write(self, data):
            written.append(data)

    written = []
    connection = _HostConnection(TcpPrinter(Firmware(), "127.0.0.1", 0))
    connection._transport = Socket()
    connection.send(b"ok")
    assert written == sent
