"""/api/companions: the states and messages of companion processes, and requests to them."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from daemon.errors import KeyRefused
from daemon.front.access.companion_keys import key_name
from daemon.front.access.scopes import Scope
from daemon.front.companions import ALLOWED_MESSAGES, GOING_OFF, CompanionReply
from daemon.front.http.base import ApiHandler
from daemon.http.errors import Refused

MAX_REPORT = 256 * 1024  # bytes of one report
MAX_ITEMS = 64  # of each list in a report
MAX_TEXT = 64  # characters of a name

_BODILESS = (204, 304)  # HTTP statuses of answers without a body


class CompanionsHandler(ApiHandler):
    """/api/companions."""

    def get(self) -> None:
        """List the companions that are switched on, with their latest states."""
        self.write({"companions": self.service.companions.as_json()})


class CompanionHandler(ApiHandler):
    """/api/companions/<name>."""

    max_body = MAX_REPORT
    write_scope = Scope.READ  # a companion's own key may have no more

    def get(self, name: str) -> None:
        """Show its latest state."""
        companions = self.service.companions
        self.write({"away": companions.is_away(name), "state": companions.state(name)})

    def post(self, name: str) -> None:
        """Take a companion's report: its state, messages for clients, and replies to requests."""
        require_companion(self, name)
        data = self.json_body()
        state = data.get("state")
        if not (state is None or isinstance(state, dict)):
            raise Refused(400, "state must be an object")
        messages = [*_messages_of(data, name, "events", "name", "payload")]
        messages += _messages_of(data, name, "plugins", "plugin", "data")
        messages += _messages_of(data, name, "messages", "kind", "payload")
        replies = dict(_reply(each) for each in _list(data, "answers"))
        if isinstance(state, dict) and state.get(GOING_OFF) is True and self.service.jobs.open_starts:
            raise Refused(409, "a print is beginning")
        companions, events = self.service.companions, self.service.events
        companions.store_report(name, state, replies)
        publish = {"events": events.publish, "plugins": events.publish_plugin, "messages": events.publish_message}
        for kind, what, payload, mark in messages:
            if mark is None or companions.is_new(name, mark):
                publish[kind](what, payload)
        self.no_content()


class RequestsHandler(ApiHandler):
    """/api/companions/<name>/requests."""

    write_scope = Scope.READ
    _requests: "asyncio.Task[list[dict[str, Any]]] | None" = None

    async def get(self, name: str) -> None:
        """Wait for requests to the companion, and return them."""
        require_companion(self, name)
        self._requests = asyncio.ensure_future(self.service.companions.requests(name))
        try:
            self.write({"requests": await self._requests})
        except asyncio.CancelledError:  # the companion has gone
            self.skip_method()

    def head(self, name: str) -> None:  # type: ignore[override]  # nothing to wait for
        """Hand over nothing: the requests would be lost with the body."""
        require_companion(self, name)
        self.service.companions.is_away(name)  # raises NoSuchCompanion for one that is not switched on, as GET does
        self.write({"requests": []})

    def post(self, name: str) -> None:
        """Answer 204 if a client still waits for this request: companions ask right before they carry it out."""
        require_companion(self, name)
        number = self.json_body().get("id")
        if type(number) is not int:
            raise Refused(400, "id must be the number of a request")
        if not self.service.companions.is_awaited(name, number):
            raise Refused(409, "no client waits for this request")
        self.no_content()

    def on_connection_close(self) -> None:
        """Stop waiting when the companion disconnects."""
        super().on_connection_close()
        if self._requests is not None:
            self._requests.cancel()


class AskHandler(ApiHandler):
    """/api/companions/<name>/ask."""

    async def post(self, name: str) -> None:
        """Send the companion a request, and pass on its reply."""
        data = self.json_body()
        await relay_request(self, name, _text(data, "do"), _object(data, "with") if "with" in data else {})


async def relay_request(handler: ApiHandler, name: str, do: str, parameters: Mapping[str, Any]) -> None:
    """Send a companion a request with the scope of the client's key, and answer with its reply."""
    scope = handler.identity.scope.label if handler.identity is not None else ""
    reply = await handler.service.companions.ask(name, do, parameters, scope=scope)
    handler.set_status(reply.status)
    if reply.body is not None and reply.status not in _BODILESS:
        handler.write_json(reply.body)


def require_companion(handler: ApiHandler, name: str) -> None:
    """Refuse any key but this companion's own and those of scope admin."""
    identity = handler.identity
    if identity is None or (identity.name != key_name(name) and identity.scope < Scope.ADMIN):
        raise KeyRefused(f"this needs the key {key_name(name)!r}, or one of scope admin")


def _messages_of(
    data: Mapping[str, Any], name: str, kind: str, name_key: str, payload_key: str
) -> Iterator[tuple[str, str, dict[str, Any], str | None]]:
    """Yield the messages of one kind: kind, name, payload, and the mark that prevents a second delivery.

    Raises:
        Refused: a message is malformed, or this companion may not send it.
    """
    for each in _list(data, kind):
        what, payload = _text(each, name_key), _object(each, payload_key)
        if f"{kind} {what}" not in ALLOWED_MESSAGES.get(name, ()):
            raise Refused(400, f"{name} may not send {what!r}")
        yield kind, what, payload, _text(each, "once") if "once" in each else None


def _list(data: Mapping[str, Any], name: str) -> list[Any]:
    items = data.get(name, [])
    if not isinstance(items, list) or len(items) > MAX_ITEMS:
        raise Refused(400, f"{name} must be a list of at most {MAX_ITEMS} items")
    return items


def _text(data: object, name: str) -> str:
    text = data.get(name) if isinstance(data, dict) else None
    if not isinstance(text, str) or not 0 < len(text) <= MAX_TEXT:
        raise Refused(400, f"{name} must be a string of 1 to {MAX_TEXT} characters")
    return text


def _object(data: object, name: str) -> dict[str, Any]:
    value = data.get(name, {}) if isinstance(data, dict) else None
    if not isinstance(value, dict):
        raise Refused(400, f"{name} must be an object")
    return value


def _reply(data: object) -> tuple[int, CompanionReply]:
    reply: Mapping[str, Any] = data if isinstance(data, dict) else {}
    number, status = reply.get("id"), reply.get("status")
    if type(number) is not int or type(status) is not int or not 200 <= status <= 599:  # noqa: PLR2004 - HTTP's
        raise Refused(400, "an answer needs an id, and an HTTP status of at least 200")
    return number, CompanionReply(status, reply.get("body"))
