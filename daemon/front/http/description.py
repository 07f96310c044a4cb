"""/api/openapi.json and /api/docs: the API's description, for programs and for users."""

import asyncio
import base64
import functools
import hashlib
import importlib
import json

from daemon.front.http.base import CachedHandler


@functools.cache
def _built_description() -> tuple[str, str, str]:
    """Return description, page and the source expression of its style. Slow because of imports: call it in a thread."""
    description = importlib.import_module("daemon.front.http.openapi").describe()
    api_page = importlib.import_module("daemon.front.http.api_page")
    return json.dumps(description), api_page.page(description), style_source(api_page.STYLE)


def style_source(css: str) -> str:
    """Return the source expression by which a content security policy allows this style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()}"


class OpenApiHandler(CachedHandler):
    """/api/openapi.json."""

    is_public = True
    checks_keys = False

    async def get(self) -> None:
        """Send the description."""
        text, _, _ = await asyncio.to_thread(_built_description)
        self.tag = text
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.write(text)
        await self.compress()


class DocsHandler(CachedHandler):
    """/api/docs."""

    is_public = True
    checks_keys = False

    async def get(self) -> None:
        """Send the page; its policy allows nothing but its style."""
        _, text, style = await asyncio.to_thread(_built_description)
        self.tag = text
        policy = f"default-src 'none'; style-src '{style}'; frame-ancestors 'none'"
        self.set_header("Content-Security-Policy", policy)
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.write(text)
        await self.compress()
