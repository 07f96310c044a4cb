"""The forms in which a request names what it asks for: Tornado knows the origin form alone."""

import re

from tornado.httputil import HTTPServerRequest, split_host_and_port

_ABSOLUTE_FORM = re.compile(r"https?://([A-Za-z0-9._~:\[\]-]+)((?:[/?].*)?)", re.IGNORECASE)


def use_origin_form(request: HTTPServerRequest) -> None:
    """Rewrite a target such as `http://printer.local/api/job`, which a server has to accept (RFC 9112, 3.2.2).

    Its host replaces that of the header Host, so checks of the host see the one that the client asks for.
    """
    if (target := _ABSOLUTE_FORM.fullmatch(request.uri or "")) is None:
        return
    host, rest = target.groups()
    request.uri = rest if rest.startswith("/") else f"/{rest}"
    request.path, _, request.query = request.uri.partition("?")
    request.headers["Host"] = request.host = host
    request.host_name = split_host_and_port(host.lower())[0]
