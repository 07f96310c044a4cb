"""The last picture of the printer, as the front passes it on from its camera. What is no JPEG is no picture."""

import asyncio

from daemon.client import ClientError, OctoPrintClient

ADDRESS = "/webcam/?action=snapshot"
LARGEST = 5 * 1024 * 1024  # bytes
PATIENCE = 5.0  # s

_BEGIN, _END = b"\xff\xd8\xff", b"\xff\xd9"


async def fetch(client: OctoPrintClient) -> bytes | None:
    """Return a picture; None where there is none in time."""
    try:
        async with asyncio.timeout(PATIENCE):
            data = await client.fetch(ADDRESS)
    except (ClientError, TimeoutError):
        return None
    return data if is_jpeg(data) else None


def is_jpeg(data: bytes) -> bool:
    """Tell whether this is a JPEG from its beginning to its end, and not too large."""
    return len(data) <= LARGEST and data.startswith(_BEGIN) and data.rstrip(b"\r\n\0").endswith(_END)
