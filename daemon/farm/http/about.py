"""Handlers for the farm itself, its keys, and the description of its API."""

import msgspec

from daemon import __version__
from daemon.farm.http.base import FarmHandler
from daemon.farm.http.keys import FarmKeys, FarmScope
from daemon.farm.list.job_list import JobList
from daemon.http.errors import Refused


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request to make a key."""

    name: str
    scope: str


class FarmAboutHandler(FarmHandler):
    """/api/farm."""

    async def get(self) -> None:
        """Answer with the owner of the key, and the state of the farm."""
        printers, counts = self.farm.printers, await self.ask(JobList.count_copies)
        self.answer(
            {
                "version": __version__,
                "name": self.farm.name,
                "who": self.key.name,
                "scope": self.key.scope,
                "nats": {"connected": not printers.trouble, "trouble": printers.trouble},
                "printers": len(printers.presences),
                "away": sum(printers.is_away(name) for name in printers.presences),
                "copies": counts,
            }
        )


class FarmKeysHandler(FarmHandler):
    """/api/farm/keys."""

    read_scope = write_scope = FarmScope.ADMIN

    async def get(self) -> None:
        """List the names and scopes of the keys; the keys themselves are not stored."""
        keys: FarmKeys = self.settings["farm_keys"]
        self.answer({"keys": await keys.list_all()})

    async def post(self) -> None:
        """Make a key; only this answer shows it."""
        keys: FarmKeys = self.settings["farm_keys"]
        new = self.decode(NewKey)
        if new.scope.upper() not in FarmScope.__members__:
            raise Refused(400, "scope must be read, control or admin")
        key = await keys.make(new.name, FarmScope[new.scope.upper()], self.key.name)
        self.answer({"key": key, "name": new.name, "scope": new.scope.lower()}, 201)


class FarmKeyHandler(FarmHandler):
    """/api/farm/keys/<name>."""

    read_scope = write_scope = FarmScope.ADMIN

    async def delete(self, name: str) -> None:
        """Remove a key."""
        keys: FarmKeys = self.settings["farm_keys"]
        await keys.drop(name, self.key.name)
        self.no_content()


class FarmOpenApiHandler(FarmHandler):
    """/api/farm/openapi.json."""

    is_public = True

    async def get(self) -> None:
        """Describe the API."""
        from daemon.farm.http.openapi import describe  # noqa: PLC0415 - loaded on request

        self.answer(describe())
