"""HTTP digest access authentication (RFC 7616) as Shelly requires it: MD5 and SHA-256, qop auth or none."""

import hashlib
import re
from collections.abc import Mapping

_PARAMETER = re.compile(r'([A-Za-z]{1,20})\s*=\s*(?:"((?:[^"\\]|\\.){0,300})"|([^\s,"]{1,300}))')
_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


def parse_challenge(header: str) -> Mapping[str, str] | None:
    """Return the parameters of a WWW-Authenticate header; None: not a digest, or one that we do not support."""
    scheme, _, parameters = header[:4096].strip().partition(" ")
    if scheme.lower() != "digest":
        return None
    challenge = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(parameters)}
    if challenge.get("algorithm", "MD5").upper() not in _HASHES:
        return None
    if "auth" not in [each.strip() for each in challenge.get("qop", "auth").split(",")]:
        return None
    return challenge if "nonce" in challenge and "realm" in challenge else None


def authorization(
    challenge: Mapping[str, str], method: str, uri: str, user: str, password: str, cnonce: str, count: int = 1
) -> str:
    """Return the Authorization header for a request.

    Args:
        challenge: the parameters of `parse_challenge`.
        method: of the request.
        uri: path and query of the request.
        user: user name.
        password: password of the user.
        cnonce: client nonce, a text that cannot be guessed.
        count: number of requests with this nonce, including this one.
    """
    algorithm = challenge.get("algorithm", "MD5").upper()

    def digest(*parts: str) -> str:
        return _HASHES[algorithm](":".join(parts).encode()).hexdigest()

    realm, nonce = challenge["realm"], challenge["nonce"]
    secret, request, nc = digest(user, realm, password), digest(method, uri), f"{count:08x}"
    if "qop" in challenge:
        response = digest(secret, nonce, nc, cnonce, "auth", request)
        qop = f', qop=auth, nc={nc}, cnonce="{cnonce}"'
    else:
        response, qop = digest(secret, nonce, request), ""
    opaque = f', opaque="{challenge["opaque"]}"' if "opaque" in challenge else ""
    return (
        f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", response="{response}", '
        f"algorithm={algorithm}{qop}{opaque}"
    )
