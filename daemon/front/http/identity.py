"""Identify a request by its key. A key works under any host name; some requests need none."""

from typing import TYPE_CHECKING

from tornado.httputil import HTTPServerRequest

from daemon.errors import KeyRefused
from daemon.front.access import hosts
from daemon.front.access.access import LOCAL
from daemon.front.access.scopes import Identity, Scope

if TYPE_CHECKING:
    from daemon.front.front import Front


def identify(
    service: "Front", request: HTTPServerRequest, *, is_public: bool = False, checks_keys: bool = True
) -> Identity | None:
    """Return the identity behind a request; None, if `is_public`, for one that lacks the valid key that it needs.

    If `checks_keys` is False, a wrong key counts as none: apps send made-up keys to see whether a server is there.

    Raises:
        KeyRefused: the key is missing or wrong; without a key, also if the host name is not this machine's.
        TooManyAttempts: this address has sent too many wrong keys.
    """
    if key := request_key(request):
        if checks_keys:
            return service.access.identify(key, client_of(service, request))
        if (identity := service.access.identity_of(key)) is not None:
            return identity
    local = _is_local(service, request)
    if not local and not is_public:
        raise KeyRefused("a valid API key is needed: X-Api-Key, Authorization: Bearer, or ?apikey=")
    if not hosts.is_ours(request.host, hosts.own_host_names(service.config.http.hostnames)):
        # perhaps a foreign page whose name now points at this machine (DNS rebinding)
        raise KeyRefused(
            "requests to this host name need an API key; names that need none are in the configuration: http.hostnames"
        )
    return Identity(LOCAL, Scope.CONTROL) if local else None


def request_key(request: HTTPServerRequest) -> str:
    """Return the key of the query, of X-Api-Key or of Authorization, in this order; "" if there is none."""
    if values := request.query_arguments.get("apikey"):
        return values[-1].decode("utf-8", "replace")
    if "X-Api-Key" in request.headers:
        return request.headers["X-Api-Key"]
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def client_of(service: "Front", request: HTTPServerRequest) -> str:
    """Return the client's address; forwarding headers count only from a configured proxy."""
    forwarded = ",".join(request.headers.get_list("X-Forwarded-For"))
    return hosts.client_address(request.remote_ip or "", forwarded, service.config.http.trusted_proxies)


def _is_local(service: "Front", request: HTTPServerRequest) -> bool:
    """Tell whether the request needs no key: a program on this machine sent it, not a proxy or a foreign page."""
    headers = request.headers
    if not service.config.api.loopback_without_key or "X-Forwarded-For" in headers or "Forwarded" in headers:
        return False
    if "Origin" in headers and not hosts.is_same_origin(headers["Origin"], request.host):
        return False
    if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return False
    return hosts.is_loopback(request.remote_ip or "")
