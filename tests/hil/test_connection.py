"""Opening, closing, and the printer's identity."""

import asyncio

import pytest

from gcode.replies import PositionReply, parse
from hal import registry
from hal.errors import NotConnected, PortBusy
from hal.printer import ConnectionState, StateChanged


class Nothing:
    """A source without lines."""

    def next_line(self):
        return None


def states(events):
    changes = [event for event in events if isinstance(event, StateChanged)]
    assert [change.old for change in changes[1:]] == [change.new for change in changes[:-1]]
    return [change.new for change in changes]


async def extruder(printer):
    """Return where the firmware says that E is."""
    replies = [parse(line.encode()) for line in await printer.send("M114")]
    return next(reply.axes["E"] for reply in replies if isinstance(reply, PositionReply))


async def test_opening_passes_through_its_states_in_order(device):
    events = []
    async with device.ready(events.append) as printer:
        assert states(events) == [ConnectionState.OPENING, ConnectionState.HANDSHAKING, ConnectionState.READY]
        assert events[0].old is ConnectionState.OFFLINE
        assert printer.state is ConnectionState.READY
        assert printer.error is None


async def test_the_firmware_is_known_after_opening(device):
    async with device.ready() as printer:
        identity = printer.identity
        assert identity.name == identity.fields["FIRMWARE_NAME"]
        assert identity.name.strip()
        assert identity.uuid == identity.fields.get("UUID")
        assert str(registry.parse(printer.address)) == printer.address


async def test_nothing_can_be_sent_before_opening(device):
    printer = device.printer()
    assert printer.state is ConnectionState.OFFLINE
    await assert_refuses(printer)
    await printer.close()
    assert printer.state is ConnectionState.OFFLINE


async def test_closing_is_idempotent_and_nothing_can_be_sent_afterwards(device):
    events = []
    async with device.ready(events.append) as printer:
        await printer.close()
        await printer.close()
        assert states(events)[-2:] == [ConnectionState.READY, ConnectionState.OFFLINE]
        assert printer.error is None
        await assert_refuses(printer)


async def assert_refuses(printer):
    with pytest.raises(NotConnected):
        await printer.send("M105")
    with pytest.raises(NotConnected):
        printer.submit("M105")
    with pytest.raises(NotConnected):
        printer.feed(Nothing())
    with pytest.raises(NotConnected):
        await printer.wait_until_acknowledged()


async def test_no_event_follows_closing(device):
    events = []
    async with device.ready(events.append) as printer:
        await printer.close()
        count = len(events)
        await asyncio.sleep(5 / device.speed)  # two temperature reports would have come
        assert len(events) == count


async def test_an_unsubscribed_listener_gets_no_events(device):
    received, not_heard = [], []
    async with device.ready(received.append) as printer:
        unsubscribe = printer.subscribe(not_heard.append)
        unsubscribe()
        unsubscribe()
        await printer.send("M105")
        await printer.close()
        assert states(received)[-1] is ConnectionState.OFFLINE
        assert not_heard == []


async def test_closing_ends_a_send_that_waits(device):
    async with device.ready() as printer:
        waiting = asyncio.create_task(printer.send(f"G4 S{2 * device.speed:g}"))
        await device.until(lambda: not printer.idle)
        await printer.close()
        with pytest.raises(NotConnected):
            await waiting


async def test_one_object_is_one_connection(device):
    async with device.ready() as printer:
        with pytest.raises(NotConnected):
            await printer.open()
        assert printer.state is ConnectionState.READY
        assert (await printer.send("M105"))[-1].startswith("ok")
        await printer.close()
        with pytest.raises(NotConnected):
            await printer.open()


async def test_another_object_reconnects_and_counts_from_0(device):
    async with device.ready() as first:
        for _ in range(5):
            await first.send("M105")
    async with device.ready() as second:
        fresh = second.next_number
        assert fresh < first.next_number
        answer = await second.send("M105")
        assert answer[-1].startswith("ok")
        assert second.identity.name == first.identity.name
        assert second.counters.resends == 0


async def test_connecting_again_does_not_reset_the_board(device):
    if device.restart_reason:
        pytest.skip(f"NOT TESTED: {device.restart_reason}")
    async with device.ready() as printer:
        await printer.send("G92 E5")  # moves nothing, and a reset forgets it
    async with device.ready() as printer:
        at = await extruder(printer)
        await printer.send("G92 E0")
        assert at == 5.0


@pytest.mark.port
async def test_a_second_object_on_one_port_is_refused_with_the_holder(device):
    async with device.ready() as first:
        second = device.make()
        with pytest.raises(PortBusy):
            await second.open()
        assert second.state is ConnectionState.FAULT
        assert isinstance(second.error, PortBusy)
        await second.close()
        assert first.state is ConnectionState.READY
        assert (await first.send("M105"))[-1].startswith("ok")
