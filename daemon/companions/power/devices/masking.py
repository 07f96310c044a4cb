"""Hides the secrets of a switch in the messages of its errors: passwords, tokens, and the queries of its URLs.

Every user who may see the switch reads these messages, and the answers of plugs and proxies often repeat the request.
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
CUT = "…"  # where `excerpt` cuts an answer that is too long
MIN_SECRET = 4  # characters of a secret that is hidden everywhere; a shorter one is hidden only after NAME=
MIN_TOKEN = 12  # characters of a path segment that may be a token
_NOT_SECRET = frozenset({"true", "false", "toggle"})

# name=value in a query or a form; user:password before a host
_PAIR = re.compile(r"""(?<![\w.~-])([\w.~-]+(?:=|%3D))[^&\s"'<>…]+""", re.IGNORECASE)
_USER = re.compile(r"""(?<![^\s/@'":])[^\s/@'":]{1,64}:[^\s@'"]{0,64}@""")


class MaskedDevice:
    """A device whose errors contain no secrets."""

    def __init__(self, device: PowerDevice, mask: "Mask") -> None:
        """Prepare."""
        self._device = device
        self._mask = mask

    async def on(self) -> None:
        """Switch it on."""
        await self._mask.mask_errors(self._device.on())

    async def off(self) -> None:
        """Switch it off."""
        await self._mask.mask_errors(self._device.off())

    async def sense(self) -> bool | None:
        """Return the state that it reports."""
        return await self._mask.mask_errors(self._device.sense())

    async def close(self) -> None:
        """Close its connections."""
        await self._device.close()


class Mask:
    """The secrets of one switch, in every form in which an answer may repeat them."""

    def __init__(self, config: DeviceConfig, password: str) -> None:
        """Collect the secrets."""
        secrets = {password, *_secrets_of(config)}
        if password:
            users = (config.user, "admin")
            secrets |= {base64.b64encode(f"{user}:{password}".encode()).decode() for user in users}
        self._forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)

    def hide(self, text: str) -> str:
        """Return the text without the secrets."""
        for form in self._forms:
            text = re.sub(re.escape(form), HIDDEN, text, flags=re.IGNORECASE)
            for size in range(len(form) - 1, MIN_SECRET - 2, -1):  # `excerpt` may have cut through the secret
                if text.casefold().find(form[:size].casefold() + CUT) >= 0:
                    text = re.sub(re.escape(form[:size] + CUT), HIDDEN + CUT, text, flags=re.IGNORECASE)
        return _PAIR.sub(rf"\1{HIDDEN}", _USER.sub(f"{HIDDEN}@", text))

    async def mask_errors(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Await `work` and return its result. Raises its DeviceError, without secrets."""
        try:
            return await work
        except DeviceError as error:
            # from None: the message of the cause has not been masked
            raise DeviceError(self.hide(str(error))) from None


def _secrets_of(config: DeviceConfig) -> Iterator[str]:
    """Yield the secrets in addresses, commands and bodies."""
    urls = [config.address, config.on_url, config.off_url, config.state_url]
    urls += [word for command in (config.on_command, config.off_command, config.state_command) for word in command]
    for url in urls:
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
        except ValueError:
            continue
        yield from (parts.query, parts.username or "", parts.password or "")
        if "://" not in url:
            continue
        yield from (value for _, value in parse_qsl(parts.query))
        yield from (segment for segment in parts.path.split("/") if len(segment) >= MIN_TOKEN)
    for body in (config.on_body, config.off_body):
        yield body
        yield from _values(body)


def _values(body: str) -> Iterable[str]:
    """Return the texts in a body of JSON or of a form."""
    try:
        values: list[Any] = [json.loads(body)]
    except (ValueError, RecursionError):
        return [value for _, value in parse_qsl(body)]
    texts = []
    while values:
        value = values.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, dict | list):
            values.extend(value.values() if isinstance(value, dict) else value)
    return texts


def _forms(secret: str) -> set[str]:
    """Return the forms in which an answer may repeat a secret: plain, and as URL, HTML, JSON and Python write it."""
    if len(secret) < MIN_SECRET or secret.casefold() in _NOT_SECRET:
        return set()
    spellings = {secret, unquote(secret), quote(secret, safe=""), quote(secret), quote_plus(secret)}
    return {
        form
        for text in spellings
        for form in (text, html.escape(text), json.dumps(text)[1:-1], repr(text)[1:-1])
        if form.strip()
    }
