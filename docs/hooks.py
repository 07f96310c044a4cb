"""Hooks of `make site`: add the pages outside docs/ to the site, and name other files instead of linking to them."""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
BESIDE = {
    "bench/README.md": "bench.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "reporting.md",
}
"""Page in the checkout → its name in the site."""

_LINK = re.compile(r"(!?)\[([^\[\]]*)\]\(([^()\s]+)((?: \"[^\"]*\")?)\)")
_FENCE = re.compile(r"^( *```).*?^\1", re.MULTILINE | re.DOTALL)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages outside docs/."""
    for path, name in BESIDE.items():
        text = (ROOT / path).read_text("utf-8")
        files.append(File.generated(config, name, content=_relinked(text, (ROOT / path).parent)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Replace links out of docs/ by links to pages of the site."""
    if page.file.src_uri in BESIDE.values():
        return markdown
    return _relinked(markdown, ROOT / "docs")


def _relinked(text: str, folder: Path) -> str:
    """Return the text with links for the site; its own links are relative to `folder`."""

    def link(match: re.Match[str]) -> str:
        picture, words, target, title = match.groups()
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target) or not path:
            return match[0]
        place = (folder / path).resolve()
        if place.parent == ROOT / "docs" or place.parent == ROOT / "docs/images":
            name = place.relative_to(ROOT / "docs").as_posix()
        elif (name := BESIDE.get(place.relative_to(ROOT).as_posix(), "")) == "":
            return f"{words} (`{place.relative_to(ROOT)}`)" if not words.isdecimal() else f"`{title.strip()[1:-1]}`"
        return f"{picture}[{words}]({name}{'#' if anchor else ''}{anchor}{title})"

    parts, end = [], 0
    for fence in _FENCE.finditer(text):  # links in code stay
        parts += [_LINK.sub(link, text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, _LINK.sub(link, text[end:])])
