"""What a switch's errors are told with: passwords, tokens and queries of its addresses are left out.

Anybody who may look reads these texts, and what a plug or a proxy answers repeats what it was asked.
"""

import base64
import html
import json
import re
from collections.abc import Coroutine, Iterable, Iterator
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from daemon.companions.power.config import DeviceConfig
from daemon.companions.power.devices import PowerDevice
from daemon.companions.power.errors import DeviceError

Result = TypeVar("Result")

HIDDEN = "***"
CUT = "…"  # where `excerpt` ends an answer that is too long
SHORTEST = 4  # characters of a secret that is looked for by itself; shorter ones are hidden behind their names alone
LONG = 12  # characters of a part of a path that may be a token
_PLAIN = frozenset({"true", "false", "toggle"})

# name=value of a query or a form, and the user before a host
_PAIR = re.compile(r"""(?<![\w.~-])([\w.~-]+(?:=|%3D))[^&\s"'<>…]+""", re.IGNORECASE)
_USER = re.compile(r"""(?<![^\s/@'":])[^\s/@'":]{1,64}:[^\s@'"]{0,64}@""")


class Discreet:
    """A switch whose errors tell no secret."""

    def __init__(self, device: PowerDevice, mask: "Mask") -> None:
        """Prepare."""
        self._device = device
        self._mask = mask

    async def on(self) -> None:
        """Switch it on."""
        await self._mask.over(self._device.on())

    async def off(self) -> None:
        """Switch it off."""
        await self._mask.over(self._device.off())

    async def sense(self) -> bool | None:
        """Return what it says."""
        return await self._mask.over(self._device.sense())

    async def close(self) -> None:
        """Let go of what is held."""
        await self._device.close()


class Mask:
    """Hides what is secret of one switch."""

    def __init__(self, config: DeviceConfig, password: str) -> None:
        """Find what that is."""
        secrets = {password, *_of_config(config)}
        if password:
            users = (config.user, "admin")
            secrets |= {base64.b64encode(f"{user}:{password}".encode()).decode() for user in users}
        self._forms = sorted({form for each in secrets for form in _forms(each)}, key=len, reverse=True)

    def hide(self, text: str) -> str:
        """Return the text without them."""
        for form in self._forms:
            text = re.sub(re.escape(form), HIDDEN, text, flags=re.IGNORECASE)
            for size in range(len(form) - 1, SHORTEST - 2, -1):  # one that is cut off is one, too
                if text.casefold().find(form[:size].casefold() + CUT) >= 0:
                    text = re.sub(re.escape(form[:size] + CUT), HIDDEN + CUT, text, flags=re.IGNORECASE)
        return _PAIR.sub(rf"\1{HIDDEN}", _USER.sub(f"{HIDDEN}@", text))

    async def over(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Await it. Raises DeviceError as it does, with a text that may be told."""
        try:
            return await work
        except DeviceError as error:
            # without what it came of, whose text is as it was
            raise DeviceError(self.hide(str(error))) from None


def _of_config(config: DeviceConfig) -> Iterator[str]:
    """Yield what is secret of addresses and bodies."""
    urls = [config.address, config.on_url, config.off_url, config.state_url]
    urls += [each for command in (config.on_command, config.off_command, config.state_command) for each in command]
    for url in urls:
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
        except ValueError:
            continue
        yield from (parts.query, parts.username or "", parts.password or "")
        if "://" not in url:
            continue
        yield from (value for _, value in parse_qsl(parts.query))
        yield from (each for each in parts.path.split("/") if len(each) >= LONG)
    for body in (config.on_body, config.off_body):
        yield body
        yield from _values(body)


def _values(body: str) -> Iterable[str]:
    """Return the texts in a body that is JSON or a form."""
    try:
        found: list[Any] = [json.loads(body)]
    except (ValueError, RecursionError):
        return [value for _, value in parse_qsl(body)]
    texts = []
    while found:
        each = found.pop()
        if isinstance(each, str):
            texts.append(each)
        elif isinstance(each, dict | list):
            found.extend(each.values() if isinstance(each, dict) else each)
    return texts


def _forms(secret: str) -> set[str]:
    """Return how it may be repeated: as it is, in an address, in a page, in JSON."""
    if len(secret) < SHORTEST or secret.casefold() in _PLAIN:
        return set()
    ways = {secret, unquote(secret), quote(secret, safe=""), quote(secret), quote_plus(secret)}
    return {
        form for way in ways for form in (way, html.escape(way), json.dumps(way)[1:-1], repr(way)[1:-1]) if form.strip()
    }
