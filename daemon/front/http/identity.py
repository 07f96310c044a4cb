"""Whose request this is: by its key, which works under any name of this machine; else whether it needs none."""

from typing import TYPE_CHECKING

from tornado.httputil import HTTPServerRequest

from daemon.errors import KeyRefused
from daemon.front.access import hosts
from daemon.front.access.access import LOCAL
from daemon.front.access.scopes import Identity, Scope

if TYPE_CHECKING:
    from daemon.front.front import Front


def identify(
    service: "Front", request: HTTPServerRequest, *, for_everybody: bool = False, judges_keys: bool = True
) -> Identity | None:
    """Return who this is; None for nobody, where `for_everybody` lets nobody in.

    Where `judges_keys` is False a wrong key is as good as none: apps send made-up ones to see whether anybody is there.

    Raises:
        KeyRefused: no key, or a wrong one; or no key under a name that is not this machine's.
        TooManyAttempts: the address has shown too many wrong ones.
    """
    if key := given_key(request):
        if judges_keys:
            return service.access.identify(key, client_of(service, request))
        if (known := service.access.identity_of(key)) is not None:
            return known
    local = _is_local(service, request)
    if not local and not for_everybody:
        raise KeyRefused("a valid API key is needed: X-Api-Key, Authorization: Bearer, or ?apikey=")
    if not hosts.is_ours(request.host, hosts.own_names(service.config.http.hostnames)):
        # a page whose own name has been pointed at this machine (DNS rebinding)
        raise KeyRefused(
            "requests to this host name need an API key; http.hostnames in the configuration lists names that do not"
        )
    return Identity(LOCAL, Scope.CONTROL) if local else None


def given_key(request: HTTPServerRequest) -> str:
    """Return the key that comes first: query, header, bearer."""
    if given := request.query_arguments.get("apikey"):
        return given[-1].decode("utf-8", "replace")
    if "X-Api-Key" in request.headers:
        return request.headers["X-Api-Key"]
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def client_of(service: "Front", request: HTTPServerRequest) -> str:
    """Return the client's address; a proxy's word counts only where it is configured."""
    forwarded = ",".join(request.headers.get_list("X-Forwarded-For"))
    return hosts.client_address(request.remote_ip or "", forwarded, service.config.http.trusted_proxies)


def _is_local(service: "Front", request: HTTPServerRequest) -> bool:
    """Tell whether this comes from a program on this machine that needs no key: no proxy, no foreign page."""
    headers = request.headers
    if not service.config.api.loopback_without_key or "X-Forwarded-For" in headers or "Forwarded" in headers:
        return False
    if "Origin" in headers and not hosts.same_origin(headers["Origin"], request.host):
        return False
    if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return False
    return hosts.is_loopback(request.remote_ip or "")
