"""The files of the page: the libraries match npm's, no text is missing, nothing is unsafe or heavy."""

import hashlib
import json
import re
from pathlib import Path

from daemon.front.page_files import Files
from daemon.front.queue.document import MAX_COPIES, MAX_MATERIAL_LENGTH, MAX_NOTES_LENGTH

PAGE = Path(__file__).parents[2] / "daemon" / "front" / "page"
VENDOR = PAGE / "vendor"
TOOLS = Path(__file__).with_name("tools")
MODULES = sorted(PAGE.glob("*.mjs"))
SERVED_SUFFIXES = {".mjs", ".js", ".css", ".svg", ".html"}
LOADED_BY_VIEW_NOW = (
    "presets",
    "camera",
    "toolpath",
    "toolpath_draw",
    "toolpath3d",
    "thumbnail",
)  # in addition to the modules of any first view
MAX_BYTES = 150 * 1024  # of all that a browser may load, packed
RELATIVE_IMPORTS = {
    "preact": "./preact.mjs",
    "preact/hooks": "./hooks.mjs",
    "@preact/signals-core": "./signals-core.mjs",
}


def table(columns):
    """Return the rows of the table in vendor/README.md that has this many columns."""
    rows = [line.strip("|").split("|") for line in (VENDOR / "README.md").read_text().splitlines() if line[:2] == "| "]
    return [[cell.strip() for cell in row] for row in rows if len(row) == columns][1:]


def test_the_limits_of_the_queue_are_those_of_the_service():
    text = (PAGE / "queue.mjs").read_text()
    assert f"const MAX_COPIES = {MAX_COPIES};" in text
    assert f"const MAX_LENGTH = {{notes: {MAX_NOTES_LENGTH}, material: {MAX_MATERIAL_LENGTH}}};" in text


def test_the_libraries_match_the_table():
    listed = {name: digest for name, _, _, _, digest in table(5)}
    assert listed == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.glob("*.mjs")}
    for *_, licence, _ in table(5):
        assert (VENDOR / licence.split(", ")[1]).is_file()


def test_the_libraries_match_npms(node_modules):
    for name, package, source, _, _ in table(5):
        text = (node_modules / package.rpartition(" ")[0] / source).read_text()
        text = re.sub(r'from"([^"]+)"', lambda match: f'from"{RELATIVE_IMPORTS[match[1]]}"', text)
        text = re.sub(r"//# sourceMappingURL=.*", "", text).rstrip() + "\n"
        assert text == (VENDOR / name).read_text(), name


def test_the_tools_are_pinned_and_their_libraries_match_the_table():
    lock = (TOOLS / "package-lock.json").read_text()
    assert "resolved" not in lock  # names no host, so that npm asks the configured registry
    packages = {name.removeprefix("node_modules/"): each for name, each in json.loads(lock)["packages"].items() if name}
    assert all(each["integrity"].startswith("sha512-") for each in packages.values())
    for package, integrity in table(2):
        name, _, version = package.rpartition(" ")
        assert (packages[name]["version"], packages[name]["integrity"]) == (version, integrity)


def joined_names(files):
    """Return the names of the modules in the file that joins those of the first view."""
    joined = files.find("app.mjs").data.decode()
    return set(re.findall(r"\$(\w+)", joined[joined.rindex("export {") :]))


def own_modules_of_first_view():
    return [name for name in joined_names(Files()) if not name.startswith(("vendor", "texts"))]


def texts(*names):
    """Return the texts of these modules by their names."""
    source = "".join((PAGE / name).read_text() for name in names)
    pairs = re.findall(r'^  (\w+):\s*"((?:[^"\\]|\\.)*)",$', source, re.MULTILINE)
    assert len(pairs) == len(dict(pairs)), "a text is defined twice"
    return dict(pairs)


def test_every_text_exists_in_both_languages():
    english, german = (texts(f"texts{language}.mjs", f"texts_more{language}.mjs") for language in ("", "_de"))
    source = "\n".join(path.read_text() for path in MODULES if not path.name.startswith("texts"))
    used = set(re.findall(r'\bt\("(\w+)"', source))
    counted = set(re.findall(r'\btn\("(\w+)"', source))
    assert used | counted | {f"{name}_1" for name in counted} <= {*english}
    first_view = "\n".join(
        (PAGE / f"{name}.mjs").read_text() for name in (*own_modules_of_first_view(), *LOADED_BY_VIEW_NOW)
    )
    assert {*re.findall(r'\btn?\("(\w+)"', first_view)} <= {*texts("texts.mjs")}, (
        "the first view needs a text of texts_more.mjs"
    )
    assert {*german} <= {*english}
    for name, text in german.items():
        assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", english[name])), name


def test_every_translated_message_is_still_one_of_nozzleds():
    root = PAGE.parents[2]
    sources = "".join(
        path.read_text() for folder in ("daemon", "gcode", "hal") for path in (root / folder).rglob("*.py")
    )
    sources = re.sub(r'"\s*\n\s*f?"', "", sources).lower()  # a string may continue in the next line
    pairs = re.findall(r'^  \["(.*)", "(.*)"\],$', (PAGE / "reasons_de.mjs").read_text(), re.MULTILINE)
    assert len(pairs) > 30
    for english, german in pairs:
        assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", german)), english
        for piece in re.split(r"{\w+}", english):
            assert piece.strip().lower() in sources, english


def test_no_text_can_become_code_or_markup():
    for path in MODULES:
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


def test_the_whole_page_is_light():
    files = Files()
    first = joined_names(files)
    assert {"store", "vendor_preact"} <= first  # joined, not served one by one
    loaded = [str(path.relative_to(PAGE)) for path in PAGE.rglob("*") if path.suffix in SERVED_SUFFIXES]
    served = [files.find(name) for name in loaded if re.sub(r"\W", "_", name.removesuffix(".mjs")) not in first]
    assert sum(len(each.gzip_data or each.data) for each in served) < MAX_BYTES


def test_the_pictures_of_the_docs_exist_and_are_small():
    docs = Path(__file__).parents[2] / "docs"
    named = set(
        re.findall(
            r"images/(page-[\w-]+\.png)", (docs / "page.md").read_text() + (docs.parent / "README.md").read_text()
        )
    )
    assert named == {path.name for path in (docs / "images").glob("page-*")}
    for name in named:
        assert (docs / "images" / name).stat().st_size < 100_000, name
