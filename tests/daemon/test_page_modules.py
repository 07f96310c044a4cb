"""The modules of the page joined into one file: each form of import and export."""

import pytest

from daemon.front.page_modules import Unjoinable, join


def joined_file(**sources):
    """Return the joined file of modules by their names without the ending."""
    return join({f"{name}.mjs": text for name, text in sources.items()})["app.mjs"]


def test_a_module_runs_once_after_its_imports():
    text = joined_file(
        app='import {b} from "./b.mjs";\nimport {c as d} from "./c.mjs";\nb(d);\n',
        b='import {c} from "./c.mjs";\nexport function b() { return c; }\n',
        c="export const c = 1;\n",
    )
    assert text.count("const c = 1;") == 1
    assert text.index("const $c = (() => {") < text.index("const $b = (() => {") < text.index("b(d);")
    assert "const {c: d} = $c;" in text
    assert text.endswith("export {$c, $b};\n")


@pytest.mark.parametrize(
    ("form", "returned", "left"),
    [
        ("export const x = 1;", "x", "const x = 1;"),
        ("export async function x() {}", "x", "async function x() {}"),
        ("export class x extends Error {}", "x", "class x extends Error {}"),
        ("const a = 1;\nexport {a as x, a};", "x: a, a", "const a = 1;"),
        ("var a=1;function b(){}export{a as x};", "x: a", "var a=1;function b(){}"),
        ("export default function(a){}", "default: $default", "const $default = function(a){}"),
        ('export {h as x} from "./b.mjs";', "x: $b.h", ""),
        (
            'import{h as i}from"./b.mjs";import a from "./b.mjs";export{i as x};',
            "x: i",
            "const {h: i} = $b;const a = $b.default;",
        ),
        ('import * as b from "./b.mjs";\nexport const x = b.h;', "x", "const b = $b;"),
    ],
)
def test_each_form_of_import_in_the_page_is_supported(form, returned, left):
    text = joined_file(app='import {x} from "./a.mjs";\n', a=form, b="export const h = 1;\n")
    part = text[text.index("const $a = ") :]
    assert left in part
    assert f"return {{{returned}}};\n}})();" in part
    assert "import" not in part
    assert "export" not in part.removesuffix("export {$a};\n").removesuffix("export {$b, $a};\n")


@pytest.mark.parametrize(
    "form",
    [
        "export let x = 1;",
        'export * from "./b.mjs";',
        'import {x} from "./app.mjs";',
        'import {x} from "./nothing.mjs";',
        'import x, {y} from "./b.mjs";',
        'import "./b.mjs";',
    ],
)
def test_another_form_of_import_is_refused(form):
    with pytest.raises(Unjoinable, match=r"a\.mjs"):
        joined_file(app='import {x} from "./a.mjs";\n', a=form, b="export const h = 1;\n")


def test_later_modules_import_from_the_joined_file_and_from_each_other():
    modules = join(
        {
            "app.mjs": 'import {x} from "./a.mjs";\nimport("./view.mjs");\n',
            "a.mjs": "export const x = 1;\n",
            "view.mjs": 'import {x} from "./a.mjs";\nimport {y} from "./more/other.mjs";\n',
            "more/other.mjs": 'import {x as z} from "../a.mjs";\nexport {x} from "../a.mjs";\nexport const y = z;\n',
        }
    )
    assert 'import {$a as $a_1} from "./app.mjs"; const {x} = $a_1;' in modules["view.mjs"]
    assert 'import {y} from "./more/other.mjs";' in modules["view.mjs"]
    assert 'import {$a as $a_1} from "../app.mjs"; const {x: z} = $a_1;' in modules["more/other.mjs"]
    assert "export const {x} = $a_2;" in modules["more/other.mjs"]
    assert "a.mjs" not in modules


def test_the_modules_of_a_worker_are_not_joined():
    modules = join(
        {
            "app.mjs": 'import {x} from "./a.mjs";\nimport("./view.mjs");\n',
            "a.mjs": "export const x = 1;\n",
            "view.mjs": 'new Worker(new URL("./worker.mjs", import.meta.url), {type: "module"});\n',
            "worker.mjs": 'import {x} from "./a.mjs";\nimport {b} from "./b.mjs";\n',
            "b.mjs": 'import {x} from "./a.mjs";\nexport const b = 1;\n',
        }
    )
    assert {*modules} == {"app.mjs", "view.mjs"}


def test_comments_are_removed_but_not_strings_that_look_like_them():
    text = joined_file(
        app='/** What\n * it does. */\nconst a = /** @type {any} */ (1); // why\n  // more\nconst b = "http://x/**";\n'
    )
    assert text == 'const a = (1);\nconst b = "http://x/**";\n\nexport {};\n'
