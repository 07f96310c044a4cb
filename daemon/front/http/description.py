"""/api/openapi.json and /api/docs: what this API is, for programs and for people."""

import asyncio
import base64
import functools
import hashlib
import importlib
import json

from daemon.front.http.base import Cached


@functools.cache
def _built() -> tuple[str, str, str]:
    """Return description, page and the hash of its style. Imports, and computes for some ms: call it in a thread."""
    described = importlib.import_module("daemon.front.http.openapi").describe()
    api_page = importlib.import_module("daemon.front.http.api_page")
    return json.dumps(described), api_page.page(described), style_of(api_page.STYLE)


def style_of(css: str) -> str:
    """Return what a content security policy allows this style by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()}"


class OpenApiHandler(Cached):
    """/api/openapi.json."""

    for_everybody = True
    judges_keys = False

    async def get(self) -> None:
        """Send the description."""
        text, _, _ = await asyncio.to_thread(_built)
        self.tag = text
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.write(text)


class DocsHandler(Cached):
    """/api/docs."""

    for_everybody = True
    judges_keys = False

    async def get(self) -> None:
        """Send the page; its style is the one thing in it that a browser may apply."""
        _, text, style = await asyncio.to_thread(_built)
        self.tag = text
        policy = f"default-src 'none'; style-src '{style}'; frame-ancestors 'none'"
        self.set_header("Content-Security-Policy", policy)
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.write(text)
