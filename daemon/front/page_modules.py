"""Joins the modules of the page's first view into one file, which a browser gets with one request.

Each module becomes a function that returns its exports, in the order in which a browser would run the modules; modules
that are loaded later import from the joined file. Only the forms of `import` and `export` that the page uses can be
joined. For other forms `join` raises `Unjoinable`, and the page is served module by module.
"""

import posixpath
import re

FIRST = "app.mjs"
"""The main module; it and its imports are the first view."""

_STATEMENT_START = r"(?:^|(?<=[;}]))"
_NAMES = r"\{(?P<names>[^{}]*)\}"
_FROM = r'\s*from\s*"(?P<file>\.[^"]+)";?'
_IMPORT = re.compile(
    rf"{_STATEMENT_START}import\s*(?:{_NAMES}|(?P<whole>[\w$]+|\*\s*as\s+[\w$]+)){_FROM}", re.MULTILINE
)
_EXPORT_FROM = re.compile(rf"{_STATEMENT_START}export\s*{_NAMES}{_FROM}", re.MULTILINE)
_EXPORT_NAMES = re.compile(rf"{_STATEMENT_START}export\s*{_NAMES};?", re.MULTILINE)
_EXPORT_DEFAULT = re.compile(rf"{_STATEMENT_START}export\s+default\s+", re.MULTILINE)
_EXPORT_DECLARATION = re.compile(
    rf"{_STATEMENT_START}export\s+(?P<kind>(?:async\s+)?function|class|const)\s+(?P<name>[\w$]+)", re.MULTILINE
)
_UNKNOWN_FORM = re.compile(rf"{_STATEMENT_START}(?:import|export)\b(?!\s*[(.]).*", re.MULTILINE)
_COMMENT = re.compile(
    r"^[ \t]*(?://.*|/\*\*(?:(?!\*/)[\s\S])*\*/[ \t]*)\n"  # on lines of its own
    r"|/\*\* @(?:type|param) (?:(?!\*/).)*\*/ ?"  # a type within a line
    r"|(?<=[;,{}]) // [^\"'`\n]*$",  # after the code of a line; never within a string
    re.MULTILINE,
)
_WORKER = re.compile(r'new\s+Worker\(\s*(?:new\s+URL\(\s*)?"(?P<file>[^"]+)"')


class Unjoinable(Exception):
    """A module with a form of `import` or `export` that cannot be joined."""


def join(sources: dict[str, str]) -> dict[str, str]:
    """Return the modules to serve: FIRST includes its imports, and the other modules import from FIRST.

    Args:
        sources: the text of each module, by its path in the page's folder.

    Raises:
        Unjoinable: a module cannot be joined.
    """
    order: list[str] = []
    _visit(FIRST, sources, order, [])
    parts = [_Module(name, order).as_function(sources[name]) for name in order[:-1]]
    first = _Module(FIRST, order).as_program(sources[FIRST])
    names = ", ".join(_variable(name) for name in order[:-1])
    modules = {FIRST: "\n".join([*parts, first, f"export {{{names}}};\n"])}
    worker_modules = _of_workers(sources)
    for name, source in sources.items():
        if name not in order and name not in worker_modules:
            modules[name] = _Module(name, order).as_later_module(source)
    return modules


def _visit(name: str, sources: dict[str, str], order: list[str], above: list[str]) -> None:
    """Append a module to the order, after its imports."""
    if name in above:
        raise Unjoinable(f"{name} imports itself through {above[-1]}")
    if name in order:
        return
    if name not in sources:
        raise Unjoinable(f"{above[-1]} imports {name}, which does not exist")
    for needed in _needs(name, sources[name]):
        _visit(needed, sources, order, [*above, name])
    order.append(name)


def _needs(name: str, source: str) -> list[str]:
    """Return the modules that a module imports, in their order."""
    imports = [*_IMPORT.finditer(source), *_EXPORT_FROM.finditer(source)]
    return [_target(name, each) for each in sorted(imports, key=re.Match.start)]


def _target(name: str, match: re.Match[str]) -> str:
    return _path(name, match["file"])


def _path(name: str, relative: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), relative))


def _variable(name: str) -> str:
    """Return the variable of a module in the joined file; it is the same in every version of the page."""
    return "$" + re.sub(r"\W", "_", name.removesuffix(".mjs"))


def _of_workers(sources: dict[str, str]) -> set[str]:
    """Return the modules of web workers, which cannot import from the joined file."""
    pending = [_path(name, match["file"]) for name, text in sources.items() for match in _WORKER.finditer(text)]
    modules: set[str] = set()
    while pending:
        if (name := pending.pop()) in sources and name not in modules:
            modules.add(name)
            pending += _needs(name, sources[name])
    return modules


def _pairs(names: str) -> list[tuple[str, str]]:
    """Return `a as b, c` as pairs."""
    parts = [re.split(r"\s+as\s+", each.strip()) for each in names.split(",") if each.strip()]
    return [(each[0], each[-1]) for each in parts]


def _destructured(names: str) -> str:
    """Return `a as b, c` as a destructuring pattern."""
    return "{" + ", ".join(old if old == new else f"{old}: {new}" for old, new in _pairs(names)) + "}"


class _Module:
    """Rewrites one module."""

    def __init__(self, name: str, order: list[str]) -> None:
        self._name = name
        self._order = order
        self._exports: list[str] = []
        self._count = 0

    def as_function(self, source: str) -> str:
        """Return the module as the definition of a variable that has its exports."""
        if posixpath.dirname(self._name) and "import(" in _COMMENT.sub("", source):
            raise Unjoinable(f"{self._name} has a dynamic import, whose address would change in the joined file")
        text = _COMMENT.sub("", source)
        text = _IMPORT.sub(self._import, text)
        text = _EXPORT_FROM.sub(self._export_from, text)
        text = _EXPORT_NAMES.sub(self._export_names, text)
        text = _EXPORT_DEFAULT.sub(self._export_default, text)
        text = _EXPORT_DECLARATION.sub(self._export_declaration, text)
        self._check(text)
        return f"const {_variable(self._name)} = (() => {{\n{text}\nreturn {{{', '.join(self._exports)}}};\n}})();"

    def as_program(self, source: str) -> str:
        """Return the main module, which runs last and exports nothing."""
        text = _IMPORT.sub(self._import, _COMMENT.sub("", source))
        self._check(text)
        return text

    def as_later_module(self, source: str) -> str:
        """Return a module that is loaded later, with its imports from the joined file."""
        text = _COMMENT.sub("", source)
        text = _IMPORT.sub(self._import_later, text)
        return _EXPORT_FROM.sub(self._export_later, text)

    def _check(self, text: str) -> None:
        if match := _UNKNOWN_FORM.search(text):
            raise Unjoinable(f"{self._name} has an unknown form of import or export: {match[0][:80]}")

    def _import(self, match: re.Match[str]) -> str:
        return self._bind(match, _variable(_target(self._name, match)))

    def _bind(self, match: re.Match[str], variable: str) -> str:
        if whole := match["whole"]:
            star, _, name = whole.partition(" as ")
            return f"const {name.strip()} = {variable};" if name else f"const {star} = {variable}.default;"
        return f"const {_destructured(match['names'])} = {variable};"

    def _export_from(self, match: re.Match[str]) -> str:
        variable = _variable(_target(self._name, match))
        self._exports += [f"{new}: {variable}.{old}" for old, new in _pairs(match["names"])]
        return ""

    def _export_names(self, match: re.Match[str]) -> str:
        self._exports += [old if old == new else f"{new}: {old}" for old, new in _pairs(match["names"])]
        return ""

    def _export_default(self, _: re.Match[str]) -> str:
        self._exports.append("default: $default")
        return "const $default = "

    def _export_declaration(self, match: re.Match[str]) -> str:
        self._exports.append(match["name"])
        return f"{match['kind']} {match['name']}"

    def _is_in_first_view(self, match: re.Match[str]) -> bool:
        return _target(self._name, match) in self._order

    def _from_first(self, match: re.Match[str]) -> tuple[str, str]:
        """Return a statement that imports a module from the joined file, and the name that it gives the module."""
        variable = _variable(_target(self._name, match))
        self._count += 1
        own = f"{variable}_{self._count}"
        up = "../" * self._name.count("/") or "./"
        return f'import {{{variable} as {own}}} from "{up}{FIRST}"; ', own

    def _import_later(self, match: re.Match[str]) -> str:
        if not self._is_in_first_view(match):
            return match[0]
        statement, own = self._from_first(match)
        return statement + self._bind(match, own)

    def _export_later(self, match: re.Match[str]) -> str:
        if not self._is_in_first_view(match):
            return match[0]
        statement, own = self._from_first(match)
        return f"{statement}export const {_destructured(match['names'])} = {own};"
