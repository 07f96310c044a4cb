"""Removes keys, addresses and names from texts that go into a bug report. Pure.

Known private texts (keys, names of hosts, users, networks and files) are replaced in every form in which JSON, URLs and
HTML write them. Anything that looks like a key or an address is replaced everywhere. The same text always gets the same
replacement, so that a reader can still follow the log.
"""

import json
import re
from collections.abc import Callable, Iterable
from html import escape
from ipaddress import ip_address
from urllib.parse import quote, unquote

COMMON_NAMES = frozenset({
    "localhost", "root", "nozzled", "printer", "raspberrypi", "octopi", "octoprint", "pi", "default", "admin", "user",
    "daemon", "front", "core", "phone", "browser", "http", "api", "local", "serial", "generic", "mqtt", "mosquitto",
    "broker", "homeassistant", "plug",
})  # fmt: skip
"""Names that identify nobody, and without which a log would be unreadable."""

PUBLIC_HOSTS = frozenset({
    "github.com", "prusa3d.com", "www.prusa3d.com", "marlinfw.org", "klipper3d.org", "octoprint.org", "reprap.org",
    "pypi.org", "debian.org", "www.debian.org", "bugs.debian.org", "raspberrypi.org", "raspbian.org",
})  # fmt: skip
"""Hosts that firmware and systems name in their own messages."""

MIN_NAME = 2  # characters

# bounded to 255, the longest name of a file, so that the time for a long log line stays proportional to its length
_FILE = re.compile(
    r"[^\s\"'<>|=(),:;\[\]{}\\\0]{2,255}?\.(?:gcode(?:\.gz|\.3mf)?|bgcode|gco|g|3mf|stl|ufp)(?![\w])", re.IGNORECASE
)
_QUOTED_FILE = re.compile(
    r"(\\{0,8}[\"'])[^\"'\n\\\0]{0,255}\.(?:gcode(?:\.gz|\.3mf)?|bgcode|gco|g|3mf|stl|ufp)\1", re.IGNORECASE
)  # with blanks in it
_MARK = "\0"  # put after an escape like \n, so that its letter does not count as part of the next word
_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\[abfnrtv]")
_PERCENT_CODE = re.compile(r"%(?:3A|40|2F|5B|5D)", re.IGNORECASE)  # : @ / [ ], which would hide addresses
_EMAIL = re.compile(r"[\w.+-]{1,255}@[\w-]{1,255}\.[\w.-]+")
_URL = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]{0,31}://)(?P<host>[^\s/\"'<>\\?#]+)", re.IGNORECASE)
_WEB = re.compile(r"\b(?:https?|rtsps?|wss?)://[^\s\"'<>\\]{1,2048}", re.IGNORECASE)
_QUERY_VALUE = re.compile(r"(?<=[?&;])(?!action=)([\w.-]{1,64}=)[^&;#]+")
_PAIRING = re.compile(r"(#|%23)pair=[^\s\"'<>\\]+")
_KEY_NAME = (
    r"(?P<what>(?:api[-_ ]?key|apikey|authorization|bearer|token|password|passwd|secret|session|psk|auth|cookie)"
)
_KEY_VALUE = re.compile(
    _KEY_NAME + r"[\\\"']*\s*[:=]\s*[\\\"']*"
    r"(?:bearer\s+|basic\s+)?)(?P<value>[^\s\"'&,;}\]\\]+)",
    re.IGNORECASE,
)
_QUOTED_KEY_VALUE = re.compile(
    _KEY_NAME + r"[\\\"']*\s*[:=]\s*\\{0,8}(?P<quote>[\"']))(?P<value>[^\"'\n\\]+)", re.IGNORECASE
)  # with blanks in it
_BEARER = re.compile(r"(\bbearer\s+)[\w.~+/=-]{8,}", re.IGNORECASE)
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?")
_CODE = re.compile(r"(?<![\w-])(?=[A-Z0-9-]*[A-Z])[A-Z0-9]{4}-[A-Z0-9]{4}-[A-Z0-9]{4}(?![\w-])")
_NETWORK = re.compile(r"((?<![A-Za-z])M(?:58[6-9]|55[0-4]|540)(?!\d)|\[ESP\d{1,4}\])[^\n\r]*", re.IGNORECASE)
"""Commands that set up a network: name, password and addresses follow in many forms."""

_TOKEN = re.compile(r"(?<![\w/+-])(?=[\w+-]*\d)(?=[\w+-]*[A-Za-z])[\w+-]{32,}={0,2}(?![\w/])")
_HEX = re.compile(r"(?<!\w)(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{16,}(?!\w)", re.IGNORECASE)
_UUID = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE)
_MAC = re.compile(r"(?<![0-9A-Fa-f])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![0-9A-Fa-f])")
_VERSION = re.compile(r"\d\.\d\.\d\.\d")  # like Marlin's 2.1.2.4; no local network has such addresses
_IPV4 = re.compile(r"(?<![\d.])(?<![\w.]\w)(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%\w+)?(?![\w:])")
_HOST = re.compile(
    r"\b(?:[a-z0-9](?:[\w-]*[a-z0-9])?\.)+(?:local|lan|home|box|internal|localdomain|com|org|net|info|biz|xyz|cloud|online"
    r"|site|ts|de|at|ch|fr|nl|be|it|es|pl|uk|eu|us|ca|au|se|dk|fi|cz|ru|jp|cn|example)\b(?![.\w/-]*\()",
    re.IGNORECASE,
)
_HOME = re.compile(r"(/home/|/Users/)([^/\s\"':]+)")
_BY_ID = re.compile(r"(?P<front>usb-[^/\s\"']{0,255}_)(?P<serial>[^/\s\"'_]{1,255})(?P<end>-if\d\d|-port\d)")
_INSTANCE = re.compile(r"(nozzled(?:-front|-safe-off)?@)([^\s\"',.]+(?:\.\d+)*)")
_DISPLAY_TEXT = re.compile(r"(M11[78]\s)[^\n\r\\\"]+")


class Scrubber:
    """Replaces private texts, and remembers each replacement."""

    def __init__(self, keys: Iterable[str] = (), names: Iterable[str] = ()) -> None:
        """Take the known private texts.

        Args:
            keys: replaced everywhere, even within a word.
            names: replaced as whole words.
        """
        self._replacements: dict[tuple[str, str], str] = {}
        self._keys = _alternatives(keys, "{}")
        self._names = _alternatives(
            (name for name in names if len(name) >= MIN_NAME and name.casefold() not in COMMON_NAMES),
            r"(?<!\w){}(?!\w)",
        )

    def scrub(self, text: str) -> str:
        """Return the text with everything private replaced."""
        text = _ESCAPE.sub(r"\g<0>" + _MARK, text.replace(_MARK, ""))
        if self._keys is not None:
            text = self._keys.sub("<key>", text)
        text = _PERCENT_CODE.sub(lambda match: unquote(match[0]), text)
        text = _PAIRING.sub(r"\1pair=<key>", text)
        text = _NETWORK.sub(r"\1 <network>", text)
        text = _QUOTED_KEY_VALUE.sub(lambda match: match["what"] + "<key>", text)
        text = _KEY_VALUE.sub(lambda match: match["what"] + "<key>", text)
        text = _CODE.sub("<key>", _JWT.sub("<key>", _BEARER.sub(r"\1<key>", text)))
        text = _EMAIL.sub(self._by_kind("mail"), text)
        text = _WEB.sub(
            lambda match: _QUERY_VALUE.sub(r"\1<key>", match[0]), text
        )  # the query of a camera's address may have a password
        text = _URL.sub(self._url, text)
        text = _DISPLAY_TEXT.sub(r"\1<text>", text)
        text = _BY_ID.sub(
            lambda match: match["front"] + self._replacement("serial", match["serial"]) + match["end"], text
        )
        text = _INSTANCE.sub(lambda match: match[1] + self._replacement("serial", match[2]), text)
        text = _QUOTED_FILE.sub(lambda match: match[1] + self._file(match) + match[1], text)
        text = _FILE.sub(self._file, text)
        if self._names is not None:
            text = self._names.sub(self._by_kind("name"), text)
        text = _HOME.sub(lambda match: match[1] + self._replacement("name", match[2]), text)
        text = _UUID.sub(self._by_kind("uuid"), text)
        text = _HEX.sub("<key>", _TOKEN.sub("<key>", text))
        text = _MAC.sub(self._by_kind("mac"), text)
        text = _IPV6.sub(self._address, text)
        text = _IPV4.sub(self._address, text)
        return _HOST.sub(self._host, text).replace(_MARK, "")

    def _replacement(self, kind: str, what: str) -> str:
        if what.startswith("<"):
            return what
        key = (kind, what.casefold())
        if key not in self._replacements:
            count = sum(1 for other, _ in self._replacements if other == kind)
            self._replacements[key] = f"<{kind}-{count + 1}>"
        return self._replacements[key]

    def _by_kind(self, kind: str) -> Callable[[re.Match[str]], str]:
        return lambda match: self._replacement(kind, match[0])

    def _file(self, match: re.Match[str]) -> str:
        name = match[0].strip("\\\"'")
        return self._replacement("file", name) + name[name.rindex(".") :]

    def _host(self, match: re.Match[str]) -> str:
        return match[0] if match[0].lower() in PUBLIC_HOSTS else self._replacement("host", match[0])

    def _url(self, match: re.Match[str]) -> str:
        user, _, host = match["host"].rpartition("@")
        name, _, port = host.rpartition(":") if not host.endswith("]") and ":" in host else (host, "", "")
        login = "<key>@" if user else ""
        if name.strip("[]") in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "::", "<key>"):  # noqa: S104 - compared with
            return match["scheme"] + login + host
        if name.lower() in PUBLIC_HOSTS or match["scheme"].lower() in ("file://", "serial://"):
            return match["scheme"] + login + host
        return match["scheme"] + login + self._replacement("host", name) + (f":{port}" if port else "")

    def _address(self, match: re.Match[str]) -> str:
        """Return the replacement of an address, which may be followed by a port or the end of a sentence."""
        text = match[0]
        for end in dict.fromkeys((len(text), len(text.rstrip(".:")), text.rfind(":"))):
            try:
                address = ip_address(text[:end].partition("%")[0])
            except ValueError:
                continue
            if address.is_loopback or address.is_unspecified or _VERSION.fullmatch(text[:end]):
                return text
            return self._replacement("ip", text[:end]) + text[end:]
        return text


def _alternatives(texts: Iterable[str], pattern: str) -> re.Pattern[str] | None:
    """Return a pattern for any of the texts, the longest first, in all their written forms."""
    written = {form for text in texts if text.strip() for form in written_forms(text.strip())}
    if not written:
        return None
    return re.compile(
        "|".join(pattern.format(re.escape(each)) for each in sorted(written, key=lambda each: (-len(each), each))),
        re.IGNORECASE,
    )


def written_forms(text: str) -> set[str]:
    """Return the forms of a text in JSON, URLs, HTML, Python, and file names."""
    return {
        text,
        json.dumps(text)[1:-1],
        quote(text),
        quote(text, safe=""),
        escape(text),
        repr(text)[1:-1],
        text.replace(" ", "_"),
    }
