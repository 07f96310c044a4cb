"""The picture for a notification: from the printer's camera, through the front."""

import asyncio

from daemon.client import ClientError, OctoPrintClient

ADDRESS = "/webcam/?action=snapshot"
MAX_BYTES = 5 * 1024 * 1024
TIMEOUT = 5.0

_BEGIN, _END = b"\xff\xd8\xff", b"\xff\xd9"


async def fetch(client: OctoPrintClient) -> bytes | None:
    """Return a picture; None if there is none in time."""
    try:
        async with asyncio.timeout(TIMEOUT):
            data = await client.fetch(ADDRESS)
    except (ClientError, TimeoutError):
        return None
    return data if is_jpeg(data) else None


def is_jpeg(data: bytes) -> bool:
    """Tell whether this is a complete JPEG, and not too large."""
    return len(data) <= MAX_BYTES and data.startswith(_BEGIN) and data.rstrip(b"\r\n\0").endswith(_END)
