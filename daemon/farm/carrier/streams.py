"""The streams and buckets of a farm: creates missing ones, and reports settings that differ from ours."""

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

MAX_PRESENCE_AGE_S = 45.0  # after which a presence is dropped
MAX_FAILURE_AGE_S = 30 * 86400.0  # after which a failed copy is dropped
MAX_BODY = 64 << 10  # bytes
MAX_FAILURES = 10_000

CHOSEN_BY_NATS = {"duplicate_window"}
"""Settings that NATS chooses if we leave them at 0."""

log = structlog.get_logger()

STREAMS = (
    StreamConfig(
        name=f"KV_{PRESENCE_BUCKET}",
        subjects=[f"{PRESENCE}.*"],
        storage=StorageType.MEMORY,  # repeated every 10 s, so not worth an fsync each time
        max_age=MAX_PRESENCE_AGE_S,
        max_msgs_per_subject=1,
        max_msg_size=MAX_BODY,
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
        max_age=MAX_FAILURE_AGE_S,
        max_msgs=MAX_FAILURES,
        max_msg_size=MAX_BODY,
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


async def make_streams(js: JetStreamContext) -> list[str]:
    """Create missing streams; return a sentence about each setting in which an existing one differs from STREAMS."""
    texts = []
    for config in STREAMS:
        try:
            actual = await js.stream_info(str(config.name))
        except NotFoundError:
            await js.add_stream(config)
            log.info("nats.stream_made", stream=config.name)
        else:
            texts += find_differences(config, actual)
    return texts


def find_differences(expected: StreamConfig, actual: StreamInfo) -> list[str]:
    """Return a sentence about each setting of a stream that differs from the expected one."""
    texts = []
    for field in fields(expected):
        want, has = getattr(expected, field.name), getattr(actual.config, field.name, None)
        if want is not None and _comparable(want) != _comparable(has) and field.name not in CHOSEN_BY_NATS:
            texts.append(f"stream {expected.name}: {field.name} is {_comparable(has)}, not {_comparable(want)}")
    return texts


def _comparable(value: Any) -> Any:
    if isinstance(value, list):
        return [str(each) for each in value]
    if isinstance(value, float):
        return round(value, 3)
    return getattr(value, "value", value)
