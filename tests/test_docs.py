"""The docs are true: the modules, error classes, tests and link targets that they name exist."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from support import features, generated
from support.error_classes import TREES

ROOT = Path(__file__).parents[1]
ARCHITECTURE = ROOT / "docs" / "architecture.md"

# -- the tables of modules ---------------------------------------------------------------------------------------

_TABLES = {
    "gcode": "**`gcode/`**",
    "hal": "**`hal/`**",
    "daemon": "**`daemon/`**",
    "daemon/core/job": "| module of `core/job/`",
}
"""Folder → the beginning of the paragraph or table heading in which its table starts."""

_NAMED = re.compile(r"`([\w./-]+(?:\.py|/))`")
_ELSEWHERE = "see below"  # in a row about a folder whose modules have their own table


def _rows(beginning: str) -> list[tuple[str, str]]:
    """Return the rows, as (modules, description), of the first table at or after the line with this beginning."""
    lines = ARCHITECTURE.read_text("utf-8").splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith(beginning))
    while not lines[at].startswith("|"):
        at += 1
    rows = []
    for line in lines[at + 2 :]:
        if not line.startswith("|"):
            break
        names, description = line.strip("|").split("|", 1)
        rows.append((names, description))
    return rows


def _modules(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*.py") if not path.name.startswith("__")}


def test_the_tables_of_modules_name_every_module_and_no_other():
    covered, unknown = set(), []
    for folder, beginning in _TABLES.items():
        for names, description in _rows(beginning):
            places = [ROOT / folder / name for name in _NAMED.findall(names)]
            for place in places:
                if place.suffix:
                    covered.add(place)
                elif _ELSEWHERE not in description:
                    covered |= _modules(place)
            unknown += [str(place.relative_to(ROOT)) for place in places if not place.exists()]
            folders = [*(place for place in places if not place.suffix), ROOT / folder, ROOT]
            for name in _NAMED.findall(description):
                place = next((each / name for each in folders if (each / name).exists()), None)
                if place is None:
                    unknown.append(f"{folder}: {name}")
                else:
                    covered.add(place)
    modules = {path for package in ("gcode", "hal", "daemon") for path in _modules(ROOT / package)}
    missing = sorted(str(path.relative_to(ROOT)) for path in modules - covered)
    assert (missing, unknown) == ([], [])


# -- the trees of errors -----------------------------------------------------------------------------------------

_BRANCH = re.compile(r"^((?:│   |    )*)[├└]── ([\w. ·]+?)(?:  .*)?$")


def _drawn(text: str) -> dict[str, str]:
    """Return each class of a drawn tree with its base class."""
    bases, above = {}, ["NozzledError"]
    for line in text.splitlines():
        if match := _BRANCH.match(line):
            depth = len(match[1]) // 4
            names = match[2].split(" · ")
            bases |= dict.fromkeys(names, above[depth])
            above[depth + 1 :] = names[:1]
    return bases


def _defined(path: str) -> dict[str, str]:
    """Return each class of a module with its base class."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name != "NozzledError"]
    return {node.name: ast.unparse(node.bases[0]) for node in classes}


@pytest.mark.parametrize("path", TREES)
def test_the_tree_of_errors_in_a_docstring_matches_the_classes(path):
    drawn = _drawn(ast.get_docstring(ast.parse((ROOT / path).read_text("utf-8"))) or "")
    here = {name: above for name, above in drawn.items() if "." not in name}
    assert here == _defined(path)


def test_the_tree_of_errors_in_the_docs_matches_the_classes():
    defined = {name: above for path in TREES for name, above in _defined(path).items()}
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
    """Return the anchors of a page, made from its headings as GitHub makes them."""
    text = _FENCE.sub("", page.read_text("utf-8"))
    count: Counter[str] = Counter()
    anchors = set(_ID.findall(text))
    for heading in _HEADING.findall(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        anchors.add(f"{slug}-{count[slug]}" if count[slug] else slug)
        count[slug] += 1
    return anchors


def test_each_link_between_our_pages_has_a_target():
    broken = []
    for page in PAGES:
        text = _CODE.sub("", _FENCE.sub("", page.read_text("utf-8")))
        for link in _LINK.findall(text):
            path, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", link):
                continue
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and target.suffix == ".md" and anchor not in _anchors(target)):
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert broken == []


# -- generated parts, and promises -------------------------------------------------------------------------------


@pytest.mark.parametrize("page", generated.PARTS)
def test_a_generated_part_is_up_to_date(page):
    assert (ROOT / page).read_text("utf-8") == generated.redraw(page), "run make docs"


def _exists(path: str, name: str) -> bool:
    return bool(re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE))


def test_every_promise_has_a_test_that_exists():
    summary, _, instructions = (ROOT / "README.md").read_text("utf-8").partition("\n![")
    assert len(generated.tests_of(summary)) >= 5
    assert len(generated.tests_of(instructions)) >= 5
    compatibility = (ROOT / "docs/compatibility.md").read_text("utf-8")
    promised = compatibility.partition("\n## What it promises")[2].partition("\n## ")[0]
    promises = promised.split("\n- ")[1:]
    assert len(promises) >= 5
    assert [each for each in promises if not generated.tests_of(each)] == []
    named = [test for page in PAGES for test in generated.tests_of(_CODE.sub("", page.read_text("utf-8")))]
    assert [test for test in named if not _exists(*test)] == []


def test_every_feature_has_a_test_that_exists():
    named = features.tests()
    assert len(named) > 30
    assert [test for test in named if not _exists(*test)] == []


# -- measured figures --------------------------------------------------------------------------------------------

_FIGURE = re.compile(
    r"\d ?(?:%|\u00d7|[KMG]i?B|kB|ms|µs|s\b|lines/s|times (?:as|more|less))"
    r"|\ban? (?:half|third|quarter|fifth|sixth|eighth|tenth) (?:more|less|of the time)\b"
)
_MEASURING = re.compile(
    r"\b(?:measured|median|p9\d|turnarounds?|underruns?|raw2|RSS|PSS|CPU|x86|lines/s|when last|counted"
    r"|accepted as another"
    r"|took|takes?|costs?|lines a second|differ(?:s|ed)?|within \d+(?= %)|slower|faster"
    r"|(?:of|on) (?:a|an|one) (?:core|processor|Pi|PC|quiet|busy|shared))\b"
)
_FIGURE_IN_A_TABLE = re.compile(
    r"^\|.*\| *[\d.,]+(?: to [\d.,]+)? ?(?:%|\u00d7|MiB|MB|ms|µs|lines/s).*\|$", re.MULTILINE
)
_SENTENCE = re.compile(r"\n\n|\n(?=\||- |\d\. )|(?<=[.:;])\s+")

# sentences with such words and a figure that is a limit, a default or a fact about others
_NOT_MEASURED = (
    "200 °C takes a minute, a bed of 60 °C 80 s",  # the analysis assumes it
    "1 to 999 %",  # Marlin's limits of a factor
    "turnarounds above 20 ms",  # the bound of a histogram
    "The first view may take 14 requests and 60 KB",  # a test holds it to that
    "An answer may be at most 64 KiB",
    "An underrun is a time of less than 3 s",  # its definition
    "for twice the time that the last write took",  # 0.15 s at least
    "a disk that takes up to 200 ms",  # the simulated one of a test
    "any value above 0 costs up to 250 ms more",  # the accuracy of systemd's timers (sd-event.c)
)


def _measured(text: str) -> list[str]:
    """Return the sentences and table rows that have a number with a unit, and a word about measuring."""
    text = _CODE.sub("", _FENCE.sub("", text))
    sentences = [re.sub(r"\n *", " ", sentence) for sentence in _SENTENCE.split(text)]
    figures = [each for each in sentences if _FIGURE.search(each) and _MEASURING.search(each)]
    figures += _FIGURE_IN_A_TABLE.findall(text)
    return [each for each in figures if not any(fact in each for fact in _NOT_MEASURED)]


_WITHOUT_FIGURES = [page for page in PAGES if page != ROOT / "bench/README.md"]


@pytest.mark.parametrize("page", _WITHOUT_FIGURES, ids=lambda path: path.name)
def test_measured_figures_are_only_in_the_benchmarks(page):
    """bench/README.md says how they were measured; a copy elsewhere would go stale unnoticed."""
    assert _measured(page.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "A scrape takes the front some 10 ms of CPU time.",
        "The process takes 26 MB of memory, and 0.2 % of a\nprocessor core.",
        "| pings | 99.98 % | 0.30 ms | closed 299 times |",
        "Moves are sent without blanks, 9 to 61 % more lines a second on a full wire.",
        "128 subscribers cost 4 times as much as one.",
        "Core and front start with a quarter less CPU time.",
        "The times of layers differ by less than 3 %.",
        "The time left is within 2 % of the total.",
        "| D1: packed | 510 | 1.79 | 100 % | | 285 |",
    ],
)
def test_a_measured_figure_is_recognised(text):
    assert _measured(text)


def test_each_exempt_sentence_is_in_the_docs():
    docs = " ".join(re.sub(r"\n *", " ", path.read_text("utf-8")) for path in _WITHOUT_FIGURES)
    assert [fact for fact in _NOT_MEASURED if fact not in docs] == []


def test_each_page_is_in_the_index_and_the_navigation_of_the_site():
    pages = {path.name for path in ROOT.glob("docs/*.md")} - {"index.md"}
    index, site = (ROOT / "docs/index.md").read_text("utf-8"), (ROOT / "mkdocs.yml").read_text("utf-8")
    assert {name for name in pages if f"]({name})" not in index} == set()
    assert {name for name in pages if f": {name}\n" not in site} == set()
