"""`nozzled notify` and `nozzled spool`: their output for the companion's answers."""

import argparse

import pytest

from daemon.cli import notify, spool
from daemon.client.errors import ClientError, NotFound
from daemon.companions.notify.notices import CLASSES
from support.client import in_memory
from support.fake_spoolman import FakeSpoolman
from support.http import api
from support.notify import FakeInternet, notifying


def arguments(module, words):
    parser = argparse.ArgumentParser()
    module.arguments(parser)
    return parser.parse_args(words)


async def output_of(module, client, *words):
    """Return the output of a command."""
    args = arguments(module, words)
    return args.action.show(await args.action.run(client, args))


async def test_messages_are_tested_and_spools_listed(tmp_path):
    internet = FakeInternet(FakeSpoolman(3))
    internet.outcomes = [401]
    async with (
        api(tmp_path, switched_on=["notify"]) as server,
        notifying(server, internet, spoolman="http://spoolman.example"),
    ):
        client = in_memory(server)
        assert await output_of(notify, client, "test", "hook") == "hook: 401; trying again"
        assert await output_of(notify, client, "mute", "done") == "done is muted"
        assert await output_of(notify, client, "tell", "cancelled", "done") == "cancelled and done are sent"
        target, sent, *others = (await output_of(notify, client, "status")).splitlines()
        assert target == "hook          webhook"
        assert sent == f"sent: {', '.join(CLASSES)}"
        assert not any(each.startswith("muted") for each in others)
        await output_of(notify, client, "mute", "done")
        assert "\nmuted: done\n" in await output_of(notify, client, "status")
        assert await output_of(spool, client, "status") == "T0  no spool"
        assert await output_of(spool, client, "list") == "    3  Prusament  Galaxy Black  PLA  1000 g left"
        assert await output_of(spool, client, "use", "3") == "T0  3  Prusament  Galaxy Black  PLA  1000 g left"
        assert await output_of(spool, client, "none") == "T0  no spool"


async def test_a_companion_that_has_not_reported_is_not_taken_for_a_missing_spoolman(tmp_path):
    async with api(tmp_path, switched_on=["notify"]) as server:
        with pytest.raises(ClientError, match="nozzled-notify is not running"):
            await output_of(spool, in_memory(server), "status")


async def test_a_companion_not_switched_on_is_reported(tmp_path):
    async with api(tmp_path, "") as server:
        with pytest.raises(NotFound, match="notify is not switched on"):
            await output_of(notify, in_memory(server), "status")
        for words in (["status"], ["list"], ["use", "3"], ["none"]):
            with pytest.raises(NotFound, match=r"set \[spoolman\] url"):
                await output_of(spool, in_memory(server), *words)
