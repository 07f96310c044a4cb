"""The files of the page: the libraries are what npm has, all words are there, nothing is dangerous or heavy."""

import hashlib
import json
import re
from pathlib import Path

from daemon.front.page_files import Files

PAGE = Path(__file__).parents[2] / "daemon" / "front" / "page"
VENDOR = PAGE / "vendor"
TOOLS = Path(__file__).with_name("tools")
OURS = sorted(PAGE.glob("*.mjs"))
LOADED = {".mjs", ".js", ".css", ".svg", ".html"}
BESIDE_THE_FIRST = ("presets", "camera", "toolpath", "toolpath_draw", "toolpath3d", "thumbnail")  # what Now may show
MOST = 150 * 1024  # bytes of all that a browser may load, packed
RELATIVE = {"preact": "./preact.mjs", "preact/hooks": "./hooks.mjs", "@preact/signals-core": "./signals-core.mjs"}


def table(columns):
    """Return the rows of the table in vendor/README.md with so many columns."""
    rows = [line.strip("|").split("|") for line in (VENDOR / "README.md").read_text().splitlines() if line[:2] == "| "]
    return [[cell.strip() for cell in row] for row in rows if len(row) == columns][1:]


def test_the_libraries_are_those_of_the_table():
    listed = {name: digest for name, _, _, _, digest in table(5)}
    assert listed == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.glob("*.mjs")}
    for *_, licence, _ in table(5):
        assert (VENDOR / licence.split(", ")[1]).is_file()


def test_the_libraries_are_what_npm_has(node_modules):
    for name, package, source, _, _ in table(5):
        text = (node_modules / package.rpartition(" ")[0] / source).read_text()
        text = re.sub(r'from"([^"]+)"', lambda found: f'from"{RELATIVE[found[1]]}"', text)
        text = re.sub(r"//# sourceMappingURL=.*", "", text).rstrip() + "\n"
        assert text == (VENDOR / name).read_text(), name


def test_the_tools_are_pinned_and_the_libraries_among_them_are_those_of_the_table():
    lock = (TOOLS / "package-lock.json").read_text()
    assert "resolved" not in lock  # no host is named: npm asks the one that is configured
    packages = {name.removeprefix("node_modules/"): each for name, each in json.loads(lock)["packages"].items() if name}
    assert all(each["integrity"].startswith("sha512-") for each in packages.values())
    for package, integrity in table(2):
        name, _, version = package.rpartition(" ")
        assert (packages[name]["version"], packages[name]["integrity"]) == (version, integrity)


def joined_names(files):
    """Return the names of the modules of the first view, as they are in the joined file."""
    joined = files.find("app.mjs").data.decode()
    return set(re.findall(r"\$(\w+)", joined[joined.rindex("export {") :]))


def own_of_the_first():
    return [name for name in joined_names(Files()) if not name.startswith(("vendor", "texts"))]


def texts(*names):
    source = "".join((PAGE / name).read_text() for name in names)
    found = re.findall(r'^  (\w+):\s*"((?:[^"\\]|\\.)*)",$', source, re.MULTILINE)
    assert len(found) == len(dict(found)), "a word is there twice"
    return dict(found)


def test_every_word_is_there_in_both_languages():
    english, german = (texts(f"texts{of}.mjs", f"texts_more{of}.mjs") for of in ("", "_de"))
    source = "\n".join(path.read_text() for path in OURS if not path.name.startswith("texts"))
    used = set(re.findall(r'\bt\("(\w+)"', source))
    counted = set(re.findall(r'\btn\("(\w+)"', source))
    assert used | counted | {f"{name}_1" for name in counted} <= {*english}
    at_first = "\n".join((PAGE / f"{name}.mjs").read_text() for name in (*own_of_the_first(), *BESIDE_THE_FIRST))
    assert {*re.findall(r'\btn?\("(\w+)"', at_first)} <= {*texts("texts.mjs")}, "the first view has all of its words"
    assert {*german} <= {*english}
    for name, text in german.items():
        assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", english[name])), name


def test_nozzled_still_says_what_is_translated():
    root = PAGE.parents[2]
    sources = "".join(
        path.read_text() for folder in ("daemon", "gcode", "hal") for path in (root / folder).rglob("*.py")
    )
    sources = re.sub(r'"\s*\n\s*f?"', "", sources).lower()  # a sentence may go on in the next line
    pairs = re.findall(r'^  \["(.*)", "(.*)"\],$', (PAGE / "reasons_de.mjs").read_text(), re.MULTILINE)
    assert len(pairs) > 30
    for said, other in pairs:
        assert sorted(re.findall(r"{\w+}", said)) == sorted(re.findall(r"{\w+}", other)), said
        for piece in re.split(r"{\w+}", said):
            assert piece.strip().lower() in sources, said


def test_nothing_makes_code_or_markup_of_a_text():
    for path in OURS:
        source = path.read_text()
        for word in (
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "Function(",
            "http://",
            "https://",
        ):
            assert word not in source, (path.name, word)
    index = (PAGE / "index.html").read_text()
    assert "style=" not in index
    assert re.findall(r"<script[^>]*>(?!</script>)", index) == []


def test_all_of_it_is_light():
    files = Files()
    first = joined_names(files)
    assert {"store", "vendor_preact"} <= first  # the modules that are in it, and not loaded by themselves
    loaded = [str(path.relative_to(PAGE)) for path in PAGE.rglob("*") if path.suffix in LOADED]
    served = [files.find(name) for name in loaded if re.sub(r"\W", "_", name.removesuffix(".mjs")) not in first]
    assert sum(len(each.packed or each.data) for each in served) < MOST


def test_the_pictures_in_the_texts_are_there_and_small():
    docs = Path(__file__).parents[2] / "docs"
    named = set(
        re.findall(
            r"images/(page-[\w-]+\.png)", (docs / "page.md").read_text() + (docs.parent / "README.md").read_text()
        )
    )
    assert named == {path.name for path in (docs / "images").glob("page-*")}
    for name in named:
        assert (docs / "images" / name).stat().st_size < 100_000, name
