"""Docs: what they say is there is there: modules, error classes, the targets of links."""

import ast
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from support import features, generated

ROOT = Path(__file__).parents[1]
ARCHITECTURE = ROOT / "docs" / "architecture.md"

# -- the tables of modules ---------------------------------------------------------------------------------------

_TABLES = {
    "gcode": "**`gcode/`**",
    "hal": "**`hal/`**",
    "daemon": "**`daemon/`**",
    "daemon/core/job": "| module of `core/job/`",
}
"""Folder, and how the paragraph or head of its table begins."""

_NAMED = re.compile(r"`([\w./-]+(?:\.py|/))`")
_ELSEWHERE = "see below"  # in a row about a folder: its modules have a table of their own


def _rows(begins: str) -> list[tuple[str, str]]:
    """Return the cells of the first table at or behind the line that begins so."""
    lines = ARCHITECTURE.read_text("utf-8").splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith(begins))
    while not lines[at].startswith("|"):
        at += 1
    rows = []
    for line in lines[at + 2 :]:
        if not line.startswith("|"):
            break
        names, has = line.strip("|").split("|", 1)
        rows.append((names, has))
    return rows


def _modules(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*.py") if not path.name.startswith("__")}


def test_the_tables_of_modules_name_all_that_there_are_and_no_others():
    covered, gone = set(), []
    for folder, begins in _TABLES.items():
        for names, has in _rows(begins):
            places = [ROOT / folder / name for name in _NAMED.findall(names)]
            for place in places:
                if place.suffix:
                    covered.add(place)
                elif _ELSEWHERE not in has:
                    covered |= _modules(place)
            gone += [str(place.relative_to(ROOT)) for place in places if not place.exists()]
            folders = [*(place for place in places if not place.suffix), ROOT / folder, ROOT]
            for name in _NAMED.findall(has):
                place = next((each / name for each in folders if (each / name).exists()), None)
                if place is None:
                    gone.append(f"{folder}: {name}")
                else:
                    covered.add(place)
    there = {path for package in ("gcode", "hal", "daemon") for path in _modules(ROOT / package)}
    missing = sorted(str(path.relative_to(ROOT)) for path in there - covered)
    assert (missing, gone) == ([], [])


# -- the trees of errors -----------------------------------------------------------------------------------------

_ERRORS = ("gcode/errors.py", "hal/errors.py", "daemon/errors.py", "daemon/client/errors.py")
_BRANCH = re.compile(r"^((?:│   |    )*)[├└]── ([\w. ·]+?)(?:  .*)?$")


def _drawn(text: str) -> dict[str, str]:
    """Return the classes of a tree, each with the one above it."""
    found, above = {}, ["NozzledError"]
    for line in text.splitlines():
        if match := _BRANCH.match(line):
            depth = len(match[1]) // 4
            names = match[2].split(" · ")
            found |= dict.fromkeys(names, above[depth])
            above[depth + 1 :] = names[:1]
    return found


def _defined(path: str) -> dict[str, str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name != "NozzledError"]
    return {node.name: ast.unparse(node.bases[0]) for node in classes}


@pytest.mark.parametrize("path", _ERRORS)
def test_the_tree_of_errors_in_a_docstring_is_that_of_the_classes(path):
    drawn = _drawn(ast.get_docstring(ast.parse((ROOT / path).read_text("utf-8"))) or "")
    here = {name: above for name, above in drawn.items() if "." not in name}
    assert here == _defined(path)


def test_the_tree_of_errors_in_the_docs_names_classes_that_are_there():
    defined = {name: above for path in _ERRORS for name, above in _defined(path).items()}
    drawn = _drawn(ARCHITECTURE.read_text("utf-8").partition("\n## Errors")[2].partition("\n## ")[0])
    assert drawn
    assert {name: above for name, above in drawn.items() if defined.get(name) != above} == {}


# -- links -------------------------------------------------------------------------------------------------------

PAGES = sorted(path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "bench/README.md"))
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(([^()\s]*(?:\([^()\s]*\))?[^()\s]*)(?: \"[^\"]*\")?\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
_ID = re.compile(r"""<a (?:id|name)=["']([^"']+)""")


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page, as GitHub makes them of headings."""
    text = _FENCE.sub("", page.read_text("utf-8"))
    count: Counter[str] = Counter()
    found = set(_ID.findall(text))
    for heading in _HEADING.findall(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found.add(f"{slug}-{count[slug]}" if count[slug] else slug)
        count[slug] += 1
    return found


def test_each_link_between_our_pages_leads_somewhere():
    astray = []
    for page in PAGES:
        text = _CODE.sub("", _FENCE.sub("", page.read_text("utf-8")))
        for link in _LINK.findall(text):
            path, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", link):
                continue
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and target.suffix == ".md" and anchor not in _anchors(target)):
                astray.append(f"{page.relative_to(ROOT)}: {link}")
    assert astray == []


# -- what is drawn, and what is promised -------------------------------------------------------------------------


@pytest.mark.parametrize("page", generated.PARTS)
def test_what_is_drawn_is_as_make_docs_draws_it(page):
    assert (ROOT / page).read_text("utf-8") == generated.drawn(page), "run make docs"


def _is_there(path: str, name: str) -> bool:
    return bool(re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE))


def test_every_promise_has_a_test_that_is_there():
    promised = (ROOT / "README.md").read_text("utf-8").partition("\n## What it promises")[2].partition("\n## ")[0]
    promises = promised.split("\n- ")[1:]
    assert len(promises) >= 5
    assert [each for each in promises if not generated.tests_of(each)] == []
    named = [test for page in PAGES for test in generated.tests_of(_CODE.sub("", page.read_text("utf-8")))]
    assert [test for test in named if not _is_there(*test)] == []


def test_every_feature_has_a_test_that_is_there():
    named = features.tests()
    assert len(named) > 30
    assert [test for test in named if not _is_there(*test)] == []


def test_figures_stand_in_the_benchmarks_alone():
    """What was measured once is there with how it was measured; a table of figures elsewhere grows old unseen."""
    text = ARCHITECTURE.read_text("utf-8")
    assert re.findall(r"^\|.*\| *[\d.,]+(?: [a-zA-Z%µ]+)? *\|.*$|.*\blines/s\b.*", text, re.MULTILINE) == []


@pytest.mark.nightly
def test_the_site_is_built_without_a_warning(tmp_path):
    """Takes what it needs from a package index."""
    done = subprocess.run(
        ["make", "site", f"ARGS=--site-dir={tmp_path}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "architecture.html").exists()


def test_each_page_is_in_the_index_and_in_the_site():
    pages = {path.name for path in ROOT.glob("docs/*.md")} - {"index.md"}
    index, site = (ROOT / "docs/index.md").read_text("utf-8"), (ROOT / "mkdocs.yml").read_text("utf-8")
    assert {name for name in pages if f"]({name})" not in index} == set()
    assert {name for name in pages if f": {name}\n" not in site} == set()
