"""The farm itself, its keys, its description."""

import msgspec

from daemon import __version__
from daemon.farm.http.base import FarmHandler
from daemon.farm.http.keys import FarmKeys, FarmScope
from daemon.farm.list.job_list import JobList
from daemon.http.errors import Refused


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key that is to be made."""

    name: str
    scope: str


class FarmAboutHandler(FarmHandler):
    """/api/farm."""

    async def get(self) -> None:
        """Tell whose key this is, and how the farm is."""
        printers = self.farm.printers
        self.answer(
            {
                "version": __version__,
                "name": self.farm.name,
                "who": self.key.name,
                "scope": self.key.scope,
                "nats": {"connected": not printers.trouble, "trouble": printers.trouble},
                "printers": len(printers.presences),
                "away": sum(printers.is_away(name) for name in printers.presences),
                "copies": await self.ask(JobList.counts),
            }
        )


class FarmKeysHandler(FarmHandler):
    """/api/farm/keys."""

    reads = writes = FarmScope.ADMIN

    async def get(self) -> None:
        """List the keys; the keys themselves are kept nowhere."""
        keys: FarmKeys = self.settings["farm_keys"]
        self.answer({"keys": await keys.all()})

    async def post(self) -> None:
        """Make a key, and show it this once."""
        keys: FarmKeys = self.settings["farm_keys"]
        asked = self.decoded(NewKey)
        if asked.scope.upper() not in FarmScope.__members__:
            raise Refused(400, "scope must be read, control or admin")
        key = await keys.make(asked.name, FarmScope[asked.scope.upper()], self.key.name)
        self.answer({"key": key, "name": asked.name, "scope": asked.scope.lower()}, 201)


class FarmKeyHandler(FarmHandler):
    """/api/farm/keys/<name>."""

    reads = writes = FarmScope.ADMIN

    async def delete(self, name: str) -> None:
        """Drop a key."""
        keys: FarmKeys = self.settings["farm_keys"]
        await keys.drop(name, self.key.name)
        self.no_content()


class FarmOpenApiHandler(FarmHandler):
    """/api/farm/openapi.json."""

    for_everybody = True

    async def get(self) -> None:
        """Describe the API."""
        from daemon.farm.http.openapi import describe  # noqa: PLC0415 - for who asks

        self.answer(describe())
