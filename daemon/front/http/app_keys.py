"""/plugin/appkeys: apps request keys of their own, and users decide; users manage the keys at /api/plugin/appkeys.

A decision needs a key of scope admin: in a request of the page or of `nozzled keys allow`, or typed into the form to
which the app sends its user.
Browsers attach no credentials on their own, so no foreign page can decide.
"""

import asyncio
import html
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from daemon.errors import BadKeyName, KeyRefused
from daemon.front.access.app_keys import MAX_NAME, AppRequest, scope_of
from daemon.front.access.scopes import OWNER, Scope
from daemon.front.http.base import ApiHandler, is_true
from daemon.http.errors import Refused

PLUGIN = "appkeys"
MAX_SAME_NAME = 20  # keys of one app: a phone that was set up again requests another under the same name
MAX_FORM = 4096  # bytes
MAX_FIELDS = 8


class AppKeysHandler(ApiHandler):
    """Base of the handlers of requests for keys."""

    def now(self) -> float:
        """Return the loop's time."""
        return asyncio.get_running_loop().time()

    async def decide(self, request: AppRequest, scope: Scope | None) -> None:
        """Give the app a key of this scope; None: refuse.

        Raises:
            Refused: another user has just decided.
        """
        access = self.service.access
        if request.is_being_granted:
            raise Refused(409, "another user has just decided about this app")
        if scope is None:
            access.app_keys.deny(request)
        else:
            await self._grant(request, scope)
        self.service.events.publish_plugin(PLUGIN, {"type": "end_request", "user_token": request.user_token})

    async def _grant(self, request: AppRequest, scope: Scope) -> None:
        access = self.service.access
        add = partial(access.keyring.add_numbered, app=True)
        request.is_being_granted = True  # nobody else may decide while the key is written
        try:
            _, key = await asyncio.to_thread(add, request.app, scope, MAX_SAME_NAME)
        finally:
            request.is_being_granted = False
        access.app_keys.grant(request, key, self.now())

    def as_json(self, request: AppRequest) -> dict[str, Any]:
        """Describe a request to users, without the app's own token."""
        return {
            "app_id": request.app,
            "user_id": None,
            "user_token": request.user_token,
            "remote_address": request.address,
            "code": request.mark,
        }


class ProbeHandler(ApiHandler):
    """/plugin/appkeys/probe."""

    is_public = True
    checks_keys = False

    def get(self) -> None:
        """Answer 204: apps may request keys."""
        self.no_content()


class RequestHandler(AppKeysHandler):
    """/plugin/appkeys/request."""

    is_public = True
    checks_keys = False

    def post(self) -> None:
        """Take a request; connected users see it at once."""
        app = self.json_body().get("app")
        if not isinstance(app, str) or not app.strip() or len(app) > MAX_NAME or not app.isprintable():
            raise BadKeyName(f"app must be the name of the app, of 1 to {MAX_NAME} characters")
        request = self.service.access.app_keys.ask(app.strip(), self.client, self.now())
        message = {"type": "request_access", "app_name": request.app, "user_token": request.user_token}
        message |= {"code": request.mark, "remote_address": request.address}
        self.service.events.publish_plugin(PLUGIN, {**message, "user_id": None})
        self.set_status(201)
        self.set_header("Location", self.url(f"/plugin/appkeys/request/{request.app_token}"))
        dialog = self.url(f"/plugin/appkeys/auth/{request.app_token}")
        self.write({"app_token": request.app_token, "auth_dialog": dialog, "code": request.mark})


class PollHandler(AppKeysHandler):
    """/plugin/appkeys/request/<token>."""

    is_public = True
    checks_keys = False

    def get(self, token: str) -> None:
        """Show the decision: 202 not yet, 200 with the key, 404 refused or unknown."""
        result = self.service.access.app_keys.poll(token, self.now())
        if result is None:
            raise Refused(404, "Not Found")
        if isinstance(result, str):
            self.write({"api_key": result})
        else:
            self.set_status(202)
            self.write({"message": "Awaiting decision"})


class DecisionHandler(AppKeysHandler):
    """/plugin/appkeys/decision/<token>."""

    write_scope = Scope.ADMIN

    async def post(self, token: str) -> None:
        """Allow or refuse; `scope`, which OctoPrint does not have, is the scope of the key, by default control."""
        data = self.json_body()
        if "decision" not in data:
            raise Refused(400, "No decision provided")
        request = self.service.access.app_keys.find(self.now(), user_token=token)
        if request is None:
            raise Refused(404, "no app requests a key under this token")
        await self.decide(request, _scope(data.get("scope")) if is_true(data["decision"]) else None)
        self.no_content()


def _scope(text: object) -> Scope:
    try:
        return scope_of(text)
    except ValueError as error:
        raise Refused(400, str(error)) from error


class ManageHandler(AppKeysHandler):
    """/api/plugin/appkeys: list, generate and revoke keys."""

    read_scope = Scope.ADMIN
    write_scope = Scope.ADMIN

    def get(self) -> None:
        """List the keys, and the open requests."""
        keys = [{"app_id": key.name, "user_id": OWNER} for key in self.service.access.keyring.keys]
        requests = self.service.access.app_keys.open_requests(self.now())
        self.write({"keys": keys, "pending": {each.user_token: self.as_json(each) for each in requests}})

    async def post(self) -> None:
        """Create a key, which is shown only now, or revoke one."""
        command, data = self.command({"generate": ["app"], "revoke": ["app"]})
        keyring, app = self.service.access.keyring, data["app"]
        if not isinstance(app, str):
            raise Refused(400, "app must be a name")
        if command == "revoke":
            await asyncio.to_thread(keyring.revoke, app)
            self.no_content()
            return
        key = await asyncio.to_thread(keyring.add, app, _scope(data.get("scope")))
        self.write({"app_id": app, "user_id": OWNER, "api_key": key})


class DialogHandler(AppKeysHandler):
    """/plugin/appkeys/auth/<token>: the page where a user decides, with a key of scope admin. It has no script."""

    is_public = True
    checks_keys = False
    max_body = MAX_FORM

    def set_default_headers(self) -> None:
        """Let the page send its form to us only."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'")

    def get(self, token: str) -> None:
        """Show the request."""
        self._show(self._request(token))

    async def post(self, token: str) -> None:
        """Take the form."""
        request = self._request(token)
        try:
            form = dict(parse_qsl(self.body.decode("utf-8", "replace"), max_num_fields=MAX_FIELDS))
        except ValueError as error:
            raise Refused(400, f"a form may have at most {MAX_FIELDS} fields") from error
        try:
            identity = self.service.access.identify(form.get("key", "").strip(), self.client)
        except KeyRefused as error:
            self._show(request, str(error), status=403)
            return
        if identity.scope < Scope.ADMIN:
            self._show(request, "this key does not allow that: a key of scope admin is needed", status=403)
            return
        allowed = form.get("decision") == "allow"
        await self.decide(request, _scope(form.get("scope")) if allowed else None)
        self._page(f"<p>{_name(request)} {'now has a key' if allowed else 'was refused'}.")

    def _request(self, token: str) -> AppRequest:
        request = self.service.access.app_keys.find(self.now(), app_token=token)
        if request is None:
            raise Refused(404, "this app no longer requests a key")
        return request

    def _show(self, request: AppRequest, trouble: str = "", status: int = 200) -> None:
        self.set_status(status)
        note = f"<p><strong>{html.escape(trouble)}</strong>" if trouble else ""
        scopes = "".join(
            f"<option{' selected' if each is Scope.CONTROL else ''}>{each.label}</option>" for each in Scope
        )
        self._page(
            f"<p>{_name(request)}, at {html.escape(request.address)}, asks for access to this printer.{note}"
            '<form method="post"><p><label>Your key, of scope admin: <input type="password" name="key" '
            f'autocomplete="off"></label><p><label>It may: <select name="scope">{scopes}</select></label>'
            '<p><button name="decision" value="allow">Allow</button> '
            '<button name="decision" value="deny">Refuse</button></form>'
            f"<p>Or on the printer's machine: <code>nozzled keys allow {html.escape(request.user_token)}</code>"
        )

    def _page(self, body: str) -> None:
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.write(f'<!doctype html><html lang="en"><title>nozzled: a key for an app</title>{body}</html>')


def _name(request: AppRequest) -> str:
    return f"<strong>{html.escape(request.app)}</strong>"
