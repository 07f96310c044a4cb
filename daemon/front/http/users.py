"""/api/users and /api/access: each key appears as a user of OctoPrint."""

from typing import Any

from daemon.errors import JobConflict
from daemon.front.access.scopes import OWNER, Identity, Scope, groups, permissions
from daemon.front.http.base import ApiHandler
from daemon.http.errors import Refused

_GROUPS = {
    "admins": ("Admins", "Keys of scope admin", Scope.ADMIN),
    "users": ("Operator", "Keys of scope control", Scope.CONTROL),
    "guests": ("Guests", "Clients without a key", None),
    "readonly": ("Read-only Access", "Keys of scope read", Scope.READ),
}
_DANGEROUS = frozenset({"ADMIN", "SYSTEM", "SETTINGS"})


def user(name: str, scope: Scope) -> dict[str, Any]:
    """Return OctoPrint's record of a user, without the key itself."""
    allowed, member = permissions(scope), groups(scope)
    admin = scope is Scope.ADMIN
    return {
        "name": name,
        "active": True,
        "user": True,
        "admin": admin,
        "apikey": None,
        "groups": member,
        "roles": ["user", "admin"] if admin else ["user"],
        "permissions": allowed,
        "needs": needs(allowed, member),
        "settings": {},
    }


def needs(allowed: list[str], member: list[str]) -> dict[str, list[str]]:
    """Return permissions and groups as OctoPrint's `needs`."""
    return {"role": [name.lower() for name in allowed], "group": member}


class UsersHandler(ApiHandler):
    """/api/access/users and /api/users."""

    write_scope = Scope.ADMIN

    def get(self) -> None:
        """List the users; without scope admin, only the client's own."""
        self.write({"users": [user(name, scope) for name, scope in self.visible_keys()]})

    def post(self) -> None:
        """Refuse: a user is a key."""
        raise JobConflict("a user is a key here: create one with `nozzled keys add NAME`")

    def visible_keys(self) -> list[tuple[str, Scope]]:
        """Return name and scope of each key that this client may see."""
        own = self.identity
        keys = [(each.name, Scope.named(each.scope)) for each in self.service.access.keyring.keys]
        if own is not None and own.scope is Scope.ADMIN:
            return [(OWNER, Scope.ADMIN), *keys]
        return [(own.name, own.scope)] if isinstance(own, Identity) else []


class UserHandler(UsersHandler):
    """/api/access/users/<name> and /api/users/<name>."""

    def get(self, name: str) -> None:  # type: ignore[override]  # Tornado passes what the route says
        """Show a user."""
        for each, scope in self.visible_keys():
            if each == name:
                self.write(user(each, scope))
                return
        raise Refused(404, "there is no such user")

    def put(self, _: str) -> None:
        """Refuse, as for POST."""
        self.post()

    def post(self, *_: str) -> None:
        """Refuse: keys cannot be changed."""
        raise JobConflict(
            "a user is a key here, and keys cannot be changed: create another with `nozzled keys add NAME`"
        )


def group(key: str) -> dict[str, Any]:
    """Return OctoPrint's record of a group."""
    name, text, scope = _GROUPS[key]
    own = permissions(scope) if scope is not None else []
    return {
        "key": key,
        "name": name,
        "description": text,
        "permissions": own,
        "subgroups": [],
        "needs": needs(own, [key]),
        "changeable": False,
        "removable": False,
        "toggleable": False,
        "default": key == "users",
        "dangerous": key == "admins",
    }


class GroupsHandler(ApiHandler):
    """/api/access/groups."""

    def get(self) -> None:
        """List the groups, which stand for scopes."""
        self.write({"groups": [group(key) for key in _GROUPS]})


class GroupHandler(ApiHandler):
    """/api/access/groups/<key>."""

    def get(self, key: str) -> None:
        """Show a group."""
        if key not in _GROUPS:
            raise Refused(404, "there is no such group")
        self.write(group(key))


class PermissionsHandler(ApiHandler):
    """/api/access/permissions."""

    def get(self) -> None:
        """List the permissions, and which groups have them."""
        self.write({"permissions": [_permission(name) for name in permissions(Scope.ADMIN)]})


def _permission(name: str) -> dict[str, Any]:
    members = [key for key, (_, _, scope) in _GROUPS.items() if scope is not None and name in permissions(scope)]
    return {
        "key": name,
        "name": name.replace("_", " ").capitalize(),
        "description": f"Granted to keys of the groups {', '.join(members)}",
        "default_groups": members,
        "dangerous": name in _DANGEROUS,
        "needs": {"role": [name.lower()]},
    }
