"""HTTP digest access authentication (RFC 7616), MD5 and SHA-256, qop auth or none: what Shelly's plugs want."""

import hashlib
import re
from collections.abc import Mapping

_PART = re.compile(r'([A-Za-z]{1,20})\s*=\s*(?:"((?:[^"\\]|\\.){0,300})"|([^\s,"]{1,300}))')
_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


def challenge(header: str) -> Mapping[str, str] | None:
    """Return what a WWW-Authenticate header asks for; None: no digest that is known here."""
    scheme, _, rest = header[:4096].strip().partition(" ")
    if scheme.lower() != "digest":
        return None
    parts = {name.lower(): quoted or bare for name, quoted, bare in _PART.findall(rest)}
    known = (
        parts.get("algorithm", "MD5").upper() in _HASHES and "auth" in parts.get("qop", "auth").split(",")[0].split()
    )
    return parts if known and "nonce" in parts and "realm" in parts else None


def answer(
    asked: Mapping[str, str], method: str, uri: str, user: str, password: str, cnonce: str, count: int = 1
) -> str:
    """Return the Authorization header for a request.

    Args:
        asked: of `challenge`.
        method: of the request.
        uri: its path, with the query.
        user: who asks.
        password: of that.
        cnonce: a text that nobody can guess.
        count: how often this nonce has been used, with this time.
    """
    name = asked.get("algorithm", "MD5").upper()

    def hashed(*parts: str) -> str:
        return _HASHES[name](":".join(parts).encode()).hexdigest()

    realm, nonce = asked["realm"], asked["nonce"]
    secret, request, times = hashed(user, realm, password), hashed(method, uri), f"{count:08x}"
    if "qop" in asked:
        proof = hashed(secret, nonce, times, cnonce, "auth", request)
        more = f', qop=auth, nc={times}, cnonce="{cnonce}"'
    else:
        proof, more = hashed(secret, nonce, request), ""
    opaque = f', opaque="{asked["opaque"]}"' if "opaque" in asked else ""
    return (
        f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", response="{proof}", '
        f"algorithm={name}{more}{opaque}"
    )
