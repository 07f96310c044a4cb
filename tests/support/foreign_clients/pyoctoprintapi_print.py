"""pyoctoprintapi, the library of Home Assistant, watches and controls a print. Runs in its own environment."""

import asyncio
import sys
from urllib.parse import urlsplit

from pyoctoprintapi import ApiError, OctoprintClient, PrinterOffline

url, key, name = sys.argv[1:]


async def until(client: OctoprintClient, state: str) -> None:
    async with asyncio.timeout(200):
        while (await client.get_job_info()).state != state:  # noqa: ASYNC110 - a client only sees what it asks for
            await asyncio.sleep(0.02)


async def main() -> None:
    split = urlsplit(url)
    client = OctoprintClient(host=split.hostname, port=split.port)
    client.set_api_key(key)
    await until(client, "Operational")
    assert (await client.get_server_info()).version
    assert (await client.get_discovery_info()).upnp_uuid
    await client.get_webcam_info()
    await client.get_tracking_info()
    assert (await client.get_job_info()).job.file.name == name
    session = client._api._session  # it has no method that starts a print
    async with session.post(f"{url}/api/job", json={"command": "start"}, headers={"X-Api-Key": key}) as answer:
        assert answer.status == 204
    await until(client, "Printing")
    await client.pause_job()
    await until(client, "Paused")
    assert (await client.get_printer_info()).state.flags.paused
    await client.resume_job()
    await until(client, "Printing")
    await client.set_tool_temperature("tool0", 50)
    await client.set_bed_temperature(40)
    await client.cancel_job()
    await until(client, "Operational")
    await client.turn_bed_off()
    for command in (client.shutdown, client.reboot_system, client.restart):
        try:
            await command()
        except ApiError:
            continue  # none is configured
        raise AssertionError("a command that is not configured was taken")
    await client.disconnect()
    try:
        await client.get_printer_info()
    except PrinterOffline:
        pass
    else:
        raise AssertionError("an absent printer has told its state")
    await client.connect()
    await until(client, "Operational")
    await session.close()


asyncio.run(main())
