"""The holder of a relay's GPIO line, on a fake kernel with the structures of linux/gpio.h."""

import importlib.util
import os
import socket
import struct
import threading
from pathlib import Path

import pytest

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.devices.relay import RelaySwitch
from daemon.companions.power.errors import DeviceError
from support.waiting import TIMEOUT

SCRIPT = Path(__file__).parents[2] / "systemd/relay.py"
_spec = importlib.util.spec_from_file_location("relay_holder", SCRIPT)
holder = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(holder)


class Kernel:
    """One GPIO line of a chip; every request that moves it is in `moves`."""

    def __init__(self, *, level=0, output=False):
        self.level, self.output = level, output
        self.moves, self.requests = [], 0
        self.line = os.open(os.devnull, os.O_RDONLY)

    def ioctl(self, fd, number, data):
        """Read and write at the offsets that the header has (offsetof)."""
        assert (number >> 16) & 0x3FFF == len(data), "the number has the structure's size in it"
        assert (number >> 8) & 0xFF == 0xB4
        kind = number & 0xFF
        if kind == 0x07:  # GPIO_V2_GET_LINE_IOCTL
            assert struct.unpack_from("=I", data, 0) == (17,)
            assert data[256:269] == b"nozzled-relay"
            assert struct.unpack_from("=QI", data, 288) == (0, 0), "as it is: no direction, no value"
            assert struct.unpack_from("=II", data, 560) == (1, 0)
            struct.pack_into("=i", data, 588, self.line)
            self.requests += 1
        elif kind == 0x05:  # GPIO_V2_GET_LINEINFO_IOCTL
            assert struct.unpack_from("=I", data, 64) == (17,)
            struct.pack_into("=Q", data, 72, 8 if self.output else 4)
        elif kind == 0x0E:  # GPIO_V2_LINE_GET_VALUES_IOCTL
            assert (fd, struct.unpack_from("=Q", data, 8)) == (self.line, (1,))
            struct.pack_into("=Q", data, 0, self.level)
        elif kind == 0x0D:  # GPIO_V2_LINE_SET_CONFIG_IOCTL
            assert struct.unpack_from("=QI", data, 0) == (8, 1)
            identity, level, mask = struct.unpack_from("=I4xQQ", data, 32)
            assert (fd, identity, mask) == (self.line, 2, 1)
            self.output, self.level = True, level
            self.moves.append(level)
        elif kind == 0x0F:  # GPIO_V2_LINE_SET_VALUES_IOCTL
            assert self.output, "EPERM"
            self.level, mask = struct.unpack_from("=QQ", data, 0)
            assert mask == 1
            self.moves.append(self.level)
        return 0


@pytest.fixture
def kernel():
    fake = Kernel()
    yield fake
    os.close(fake.line)


def test_only_a_command_switches_the_relay(kernel):
    relay = holder.RelayLine(os.devnull, 17, active_low=False, descriptor=None, ioctl=kernel.ioctl)
    assert relay.get() is False
    assert kernel.moves == []
    relay.turn(on=True)
    assert (kernel.output, kernel.moves, relay.get()) == (True, [1], True)
    again = holder.RelayLine(os.devnull, 17, active_low=False, descriptor=relay.descriptor, ioctl=kernel.ioctl)
    assert again.get() is True
    assert (kernel.moves, kernel.requests) == ([1], 1), "a restart has neither moved it nor given it up"
    again.turn(on=False)
    assert (kernel.moves, again.get()) == ([1, 0], False)


def test_a_relay_may_be_active_low(kernel):
    kernel.level = 1
    relay = holder.RelayLine(os.devnull, 17, active_low=True, descriptor=None, ioctl=kernel.ioctl)
    assert relay.get() is False
    relay.turn(on=True)
    assert (kernel.moves, relay.get()) == ([0], True)


@pytest.mark.real_time
async def test_the_switch_and_the_holder_understand_each_other(kernel, tmp_path):
    relay = holder.RelayLine(os.devnull, 17, active_low=False, descriptor=None, ioctl=kernel.ioctl)
    door = holder.listen(tmp_path / "printer.sock")

    def work():
        for _ in range(4):
            holder.serve(door, relay)

    thread = threading.Thread(target=work)
    thread.start()
    switch = RelaySwitch(DeviceConfig(name="relay", type="relay", timeout_s=TIMEOUT), tmp_path)
    assert await switch.sense() is False
    await switch.on()
    assert await switch.sense() is True
    with pytest.raises(DeviceError, match="get, on or off"):
        await switch._ask(b"burn")
    thread.join()
    door.close()
    with pytest.raises(DeviceError, match="systemctl enable --now nozzled-relay@printer"):
        await switch.sense()


def test_invalid_requests_are_refused(capsys, tmp_path):
    for words, environ, why in (
        ([], {}, "usage"),
        (["../x"], {}, "usage"),
        (["printer"], {}, "relay-printer.conf needs LINE"),
        (["printer"], {"LINE": "17", "ACTIVE_LOW": "maybe"}, "yes or no"),
        (["printer"], {"LINE": "17", "CHIP": str(tmp_path / "none")}, "No such file"),
    ):
        assert holder.main(words, environ) in (1, 2)
        assert why in capsys.readouterr().err


def test_the_gpio_line_is_stored_with_systemd(tmp_path, kernel):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        holder.notify({"NOTIFY_SOCKET": str(path)}, "FDSTORE=1\nFDNAME=relay", kernel.line)
        message, fds, _, _ = socket.recv_fds(systemd, 100, 1)
    assert (message, len(fds)) == (b"FDSTORE=1\nFDNAME=relay", 1)
    os.close(fds[0])
    here = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "relay"}
    assert holder.stored({**here, "LISTEN_PID": "1"}) is None
    assert holder.stored({**here, "LISTEN_FDNAMES": "other"}) is None
