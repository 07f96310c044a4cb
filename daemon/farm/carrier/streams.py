"""The streams and buckets of a farm: made where they are missing, and told of where somebody has set them otherwise."""

from dataclasses import fields
from typing import Any

import structlog
from nats.js import JetStreamContext
from nats.js.api import (
    DiscardPolicy,
    StorageType,
    StreamConfig,
    StreamInfo,
)
from nats.js.errors import NotFoundError

from daemon.farm.carrier.subjects import FAILED, FILES, PRESENCE, PRESENCE_BUCKET

KEPT_PRESENCE = 45.0  # s
KEPT_FAILURES = 30 * 86400.0  # s
LARGEST_BODY = 64 << 10  # bytes
MOST_FAILURES = 10_000

FILLED_IN = {"duplicate_window"}
"""What NATS chooses where we leave it at 0."""

log = structlog.get_logger()

STREAMS = (
    StreamConfig(
        name=f"KV_{PRESENCE_BUCKET}",
        subjects=[f"{PRESENCE}.*"],
        storage=StorageType.MEMORY,  # said again each 10 s, and not worth an fsync each time
        max_age=KEPT_PRESENCE,
        max_msgs_per_subject=1,
        max_msg_size=LARGEST_BODY,
        discard=DiscardPolicy.NEW,
        allow_rollup_hdrs=True,
        deny_delete=True,
        allow_direct=True,
        no_ack=True,  # a receipt would go to any subject that a rogue printer names
    ),
    StreamConfig(
        name=FAILED,
        subjects=["farm.failed.*"],
        storage=StorageType.FILE,
        max_age=KEPT_FAILURES,
        max_msgs=MOST_FAILURES,
        max_msg_size=LARGEST_BODY,
        discard=DiscardPolicy.OLD,
    ),
    StreamConfig(
        name=f"OBJ_{FILES}",
        subjects=[f"$O.{FILES}.C.>", f"$O.{FILES}.M.>"],
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        allow_rollup_hdrs=True,
        allow_direct=True,
    ),
)


async def make(js: JetStreamContext) -> list[str]:
    """Make what is missing; return what is set otherwise than here, a sentence each."""
    differing = []
    for wanted in STREAMS:
        try:
            found = await js.stream_info(str(wanted.name))
        except NotFoundError:
            await js.add_stream(wanted)
            log.info("nats.stream_made", stream=wanted.name)
        else:
            differing += differences(wanted, found)
    return differing


def differences(wanted: StreamConfig, found: StreamInfo) -> list[str]:
    """Return what a stream has otherwise than we would make it."""
    texts = []
    for field in fields(wanted):
        want, has = getattr(wanted, field.name), getattr(found.config, field.name, None)
        if want is not None and _plain(want) != _plain(has) and field.name not in FILLED_IN:
            texts.append(f"stream {wanted.name}: {field.name} is {_plain(has)}, not {_plain(want)}")
    return texts


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [str(each) for each in value]
    if isinstance(value, float):
        return round(value, 3)
    return getattr(value, "value", value)
