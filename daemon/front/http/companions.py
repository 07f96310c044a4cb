"""/api/companions: what processes beside core and front say, and what they are asked."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from daemon.errors import KeyRefused
from daemon.front.access.companion_keys import key_name
from daemon.front.access.scopes import Scope
from daemon.front.companions import GOING_OFF, SAYS, CompanionReply
from daemon.front.http.base import ApiHandler
from daemon.http.errors import Refused

LARGEST = 256 * 1024  # bytes of what a companion says at once
MOST_EVENTS = 64  # of each kind
LONGEST_NAME = 64  # characters of an event's


class CompanionsHandler(ApiHandler):
    """/api/companions."""

    def get(self) -> None:
        """List those that are switched on, with what they have said last."""
        self.write({"companions": self.service.companions.as_json()})


class CompanionHandler(ApiHandler):
    """/api/companions/NAME."""

    max_body = LARGEST
    writes = Scope.READ  # its own key is as small as what it may do

    def get(self, name: str) -> None:
        """Return what it has said last."""
        companions = self.service.companions
        self.write({"away": companions.away(name), "state": companions.state(name)})

    def post(self, name: str) -> None:
        """Take what it says."""
        require_companion(self, name)
        data = self.json_body()
        state = data.get("state")
        if not (state is None or isinstance(state, dict)):
            raise Refused(400, "state must be an object")
        said = [*_messages_of(data, name, "events", "name", "payload")]
        said += _messages_of(data, name, "plugins", "plugin", "data")
        said += _messages_of(data, name, "messages", "kind", "payload")
        replies = dict(_reply(each) for each in _list(data, "answers"))
        if isinstance(state, dict) and state.get(GOING_OFF) is True and self.service.jobs.beginning:
            raise Refused(409, "a print is beginning")
        companions, told = self.service.companions, self.service.events
        companions.hear(name, state, replies)
        tell = {"events": told.publish, "plugins": told.plugin, "messages": told.message}
        for kind, what, payload, mark in said:
            if mark is None or companions.is_new(name, mark):
                tell[kind](what, payload)
        self.no_content()


class RequestsHandler(ApiHandler):
    """/api/companions/NAME/requests."""

    writes = Scope.READ
    _asking: "asyncio.Task[list[dict[str, Any]]] | None" = None

    async def get(self, name: str) -> None:
        """Return what is asked of it, as soon as there is something."""
        require_companion(self, name)
        self._asking = asyncio.ensure_future(self.service.companions.requests(name))
        try:
            self.write({"requests": await self._asking})
        except asyncio.CancelledError:  # the companion has gone
            self.skip_method()

    def post(self, name: str) -> None:
        """Tell whether somebody still waits for one of them: it is asked right before it is done."""
        require_companion(self, name)
        number = self.json_body().get("id")
        if type(number) is not int:
            raise Refused(400, "id must be a number: that of a request")
        if not self.service.companions.waits(name, number):
            raise Refused(409, "nobody waits for that any more")
        self.no_content()

    def on_connection_close(self) -> None:
        """Ask nothing of one that has gone."""
        if self._asking is not None:
            self._asking.cancel()


class AskHandler(ApiHandler):
    """/api/companions/NAME/ask."""

    async def post(self, name: str) -> None:
        """Have it do something, and pass its answer on."""
        data = self.json_body()
        await pass_on(self, name, _text(data, "do"), _object(data, "with") if "with" in data else {})


async def pass_on(handler: ApiHandler, name: str, do: str, given: Mapping[str, Any]) -> None:
    """Have a companion do something by a request's key, and answer with what it says."""
    scope = handler.identity.scope.label if handler.identity is not None else ""
    reply = await handler.service.companions.ask(name, do, given, scope=scope)
    handler.set_status(reply.status)
    if reply.body is not None:
        handler.write_json(reply.body)


def require_companion(handler: ApiHandler, name: str) -> None:
    """Refuse whoever is neither this companion nor an admin."""
    identity = handler.identity
    if identity is None or (identity.name != key_name(name) and identity.scope < Scope.ADMIN):
        raise KeyRefused(f"that is for the key {key_name(name)!r} alone")


def _messages_of(
    data: Mapping[str, Any], name: str, kind: str, named: str, carried: str
) -> Iterator[tuple[str, str, dict[str, Any], str | None]]:
    """Yield what clients are to hear of one kind: kind, what, payload, and the mark by which it is heard once.

    Raises:
        Refused: it is malformed, or this companion has no say in it.
    """
    for each in _list(data, kind):
        what, payload = _text(each, named), _object(each, carried)
        if f"{kind} {what}" not in SAYS.get(name, ()):
            raise Refused(400, f"{name} has no say in {what!r}")
        yield kind, what, payload, _text(each, "once") if "once" in each else None


def _list(data: Mapping[str, Any], name: str) -> list[Any]:
    found = data.get(name, [])
    if not isinstance(found, list) or len(found) > MOST_EVENTS:
        raise Refused(400, f"{name} must be a list of {MOST_EVENTS} at most")
    return found


def _text(given: object, name: str) -> str:
    found = given.get(name) if isinstance(given, dict) else None
    if not isinstance(found, str) or not 0 < len(found) <= LONGEST_NAME:
        raise Refused(400, f"{name} must be a text of 1 to {LONGEST_NAME} characters")
    return found


def _object(given: object, name: str) -> dict[str, Any]:
    found = given.get(name, {}) if isinstance(given, dict) else None
    if not isinstance(found, dict):
        raise Refused(400, f"{name} must be an object")
    return found


def _reply(given: object) -> tuple[int, CompanionReply]:
    found: Mapping[str, Any] = given if isinstance(given, dict) else {}
    number, status = found.get("id"), found.get("status")
    if type(number) is not int or type(status) is not int or not 200 <= status <= 599:  # noqa: PLR2004 - HTTP's
        raise Refused(400, "an answer needs id and status, an HTTP status from 200 on")
    return number, CompanionReply(status, found.get("body"))
