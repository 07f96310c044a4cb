"""Takes reports from their stream, one durable consumer for all servers; acknowledged once they are written down."""

import asyncio

import msgspec
import structlog
from nats.aio.msg import Msg
from nats.errors import TimeoutError as NothingCame

from daemon.farm.carrier.connect import FAILURES, NatsConnection
from daemon.farm.carrier.ending import in_time
from daemon.farm.carrier.ends import Duties
from daemon.farm.carrier.errors import FarmUnreachable
from daemon.farm.carrier.subjects import CONSUMER, REPORTS, sender
from daemon.farm.messages import Report

BATCH = 50
WAIT = 5.0  # s for the next report
PAUSE = 1.0  # s after trouble
LATER = 5.0  # s until a report that could not be written down comes again
ACKNOWLEDGING = 5.0  # s

log = structlog.get_logger()


async def take_reports(line: NatsConnection, duties: Duties) -> None:
    """Bring reports to the duties, until cancelled."""
    while True:
        if not line.connected:
            await asyncio.sleep(PAUSE / 4)
            continue
        try:
            await _take(line, duties)
        except (FarmUnreachable, *FAILURES) as error:
            log.warning("farm.reports_wait", reason=str(error) or type(error).__name__)
        await asyncio.sleep(PAUSE)


async def _take(line: NatsConnection, duties: Duties) -> None:
    client = line.client
    subscription = await in_time(client.jetstream().pull_subscribe_bind(CONSUMER, REPORTS), WAIT)
    while line.connected and line.client is client:
        try:
            messages = await in_time(subscription.fetch(BATCH, timeout=WAIT), WAIT * 2)
        except NothingCame:  # raised each time that there is nothing
            continue
        for message in messages:
            await _take_one(message, duties)


async def _take_one(message: Msg, duties: Duties) -> None:
    printer = sender(message.subject)
    try:
        report = msgspec.json.decode(message.data, type=Report)
    except msgspec.MsgspecError as error:
        log.warning("farm.report_unreadable", printer=printer, reason=str(error), consequence="it is thrown away")
        await in_time(message.term(), ACKNOWLEDGING)
        return
    try:
        await duties.report(printer, report)
    except Exception:
        log.exception("farm.report_not_written", printer=printer, copy=report.copy, again_s=LATER)
        await in_time(message.nak(delay=LATER), ACKNOWLEDGING)
        return
    await in_time(message.ack_sync(timeout=ACKNOWLEDGING), ACKNOWLEDGING)
