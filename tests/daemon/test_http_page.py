"""The page's files: access, caching, and their rights in a browser."""

import gzip
import re

import pytest

from daemon.config import WebcamConfig
from daemon.front.http.page import IMMUTABLE, POLICY, policy_of
from daemon.front.page_files import FOLDER, Files
from support.http import api

HOST = {"Host": "localhost:5000"}
BROWSER = {**HOST, "Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def test_a_browser_gets_the_page_and_an_app_a_text(tmp_path):
    async with api(tmp_path, "") as server:
        for key in (None, "made up"):
            page = await server.get("/", headers=BROWSER, key=key)
            assert page.status == 200
            assert page.headers["Content-Type"] == "text/html; charset=UTF-8"
            assert page.headers["Content-Security-Policy"] == POLICY
            assert b"app.mjs" in page.body
        app = await server.get("/", key=None)
        assert (app.status, b"app.mjs" in app.body) == (200, False)
        assert b"nozzled is" not in app.body
        assert "Accept" in page.headers["Vary"]


async def test_a_browser_without_a_key_can_load_all_files_again_and_again(tmp_path):
    async with api(tmp_path, "") as server:
        index = (await server.get("/", headers=BROWSER, key=None)).body.decode()
        [icon] = re.findall(r'"(page/[0-9a-f]{12}/icon\.svg)"', index)
        for _ in range(400):
            assert (await server.get(f"/{icon}", key=None, headers=HOST)).status == 200


async def test_the_policy_forbids_inline_content_and_other_origins():
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY
    assert "trusted-types 'none'" in POLICY
    assert not re.search(r"https?:|\*|data:", POLICY)


@pytest.mark.parametrize("name", ["printer.lan", "printer.lan&lt;"])
async def test_an_unknown_host_name_gets_a_page_with_the_setting_to_add(tmp_path, name):
    async with api(tmp_path, "") as server:
        page = await server.get("/", headers={**BROWSER, "Host": f"{name}:5000"}, key=None)
        assert page.status == 403
        assert page.headers["Content-Type"] == "text/html; charset=UTF-8"
        assert b"hostnames = [&quot;" in page.body or b'hostnames = ["' in page.body
        assert b"<img" not in page.body
        assert "script-src" not in page.headers["Content-Security-Policy"]
        assert b"<style" not in page.body
        style = await server.get("/page/notice.css", headers={"Host": f"{name}:5000"}, key=None)
        assert (style.status, b"body{" in style.body) == (200, True)
    async with api(tmp_path, "", http={"hostnames": ("printer.lan",)}) as server:
        assert (await server.get("/", headers={**BROWSER, "Host": "printer.lan:5000"}, key=None)).status == 200


async def test_files_named_by_hash_are_cached_forever_and_others_revalidated(tmp_path):
    async with api(tmp_path, "") as server:
        index = (await server.get("/", headers=BROWSER, key=None)).body.decode()
        [icon] = re.findall(r'"(page/[0-9a-f]{12}/icon\.svg)"', index)
        assert "Expires" not in index
        answer = await server.get(f"/{icon}", key=None, headers=HOST)
        assert (answer.status, answer.headers["Cache-Control"]) == (200, IMMUTABLE)
        assert answer.headers["Content-Type"] == "image/svg+xml"
        plain = await server.get("/page/icon.svg", key=None, headers=HOST)
        assert plain.headers["Cache-Control"] == "no-cache"
        known = await server.get("/page/icon.svg", key=None, headers={**HOST, "If-None-Match": plain.headers["Etag"]})
        assert known.status == 304
        old = await server.get("/page/000000000000/icon.svg", key=None, headers=HOST)
        assert (old.status, old.headers["Cache-Control"]) == (200, "no-cache")
        tag = plain.headers["Etag"].strip('"')
        assert (await server.get(f"/page/icon.svg?v={tag}", key=None, headers=HOST)).headers[
            "Cache-Control"
        ] == IMMUTABLE


async def test_modules_named_by_hash_are_joined_and_the_others_are_plain_files(tmp_path):
    async with api(tmp_path, "") as server:
        index = (await server.get("/", headers=BROWSER, key=None)).body.decode()
        [joined] = re.findall(r'"(page/[0-9a-f]{12}/app\.mjs)"', index)
        assert b'from "./' not in (await server.get(f"/{joined}", key=None, headers=HOST)).body
        apart = (await server.get("/?modules", headers=BROWSER, key=None)).body.decode()
        assert '"page/app.mjs"' in apart
        assert (await server.get("/page/app.mjs", key=None, headers=HOST)).body == (FOLDER / "app.mjs").read_bytes()


async def test_a_file_is_compressed_if_the_client_accepts_it(tmp_path):
    async with api(tmp_path, "") as server:
        plain = await server.get("/page/page.css", key=None, headers=HOST)
        packed = await server.get("/page/page.css", key=None, headers={**HOST, "Accept-Encoding": "br, gzip"})
        assert len(plain.body) > 1024, "a shorter one is sent as it is"
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body
        assert packed.headers["Etag"] != plain.headers["Etag"]
        assert packed.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path", ["/page/", "/page/nothing.mjs", "/page/../http/page.py", "/page/%2e%2e/http/page.py", "/page//etc/passwd"]
)
async def test_only_files_of_the_page_are_served(tmp_path, path):
    async with api(tmp_path, "") as server:
        assert (await server.get(path, key=None, headers=HOST)).status in (403, 404)


def test_a_file_that_has_changed_is_read_again(tmp_path):
    (tmp_path / "index.html").write_text('<script type="module" src="page/app.mjs"></script>')
    (tmp_path / "app.mjs").write_text("1")
    files = Files(tmp_path)
    index, before = files.find("index.html"), files.digest
    assert index.data == f'<script type="module" src="page/{before}/app.mjs"></script>'.encode()
    (tmp_path / "app.mjs").write_text("// two")
    assert files.find("app.mjs").data.startswith(b"// two")
    assert files.source("app.mjs").data == b"// two"
    assert files.digest != before
    assert files.find_version("app.mjs", before) is None
    (tmp_path / "secret.py").write_text("no")
    assert files.find("secret.py") is None


def test_modules_that_cannot_be_joined_are_served_one_by_one(tmp_path, caplog):
    (tmp_path / "index.html").write_text("")
    (tmp_path / "app.mjs").write_text('export let count = 1;\nimport {b} from "./b.mjs";\n')
    (tmp_path / "b.mjs").write_text("export let b = 2;\n")
    files = Files(tmp_path)
    assert files.find("app.mjs").data == (tmp_path / "app.mjs").read_bytes()
    assert "b.mjs has an unknown form of import or export: export let b" in caplog.text


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://cam.lan:8080/?action=stream", " http://cam.lan:8080"),
        ("https://192.0.2.7/s", " https://192.0.2.7"),
        ("https://me:secret@192.0.2.7/s", ""),  # by way of us
        ("http://127.0.0.1:8080/stream", ""),
        ("http://[2001:db8::1]:81/", " http://[2001:db8::1]:81"),
        ("/webcam/?action=stream", ""),
        ("", ""),
        ("javascript:alert(1)", ""),
        ("http://a.lan; script-src *", ""),
        ("http://*/", ""),
        ("http://[oops/", ""),
    ],
)
async def test_the_policy_allows_pictures_only_from_the_camera(url, origin):
    policy = policy_of(WebcamConfig(stream_url=url))
    assert policy == POLICY.replace("blob:", f"blob:{origin}")


async def test_the_policy_of_the_page_allows_the_camera(tmp_path):
    async with api(tmp_path, "", webcam={"snapshot_url": "http://cam.lan/p.jpg"}) as server:
        page = await server.get("/", headers=BROWSER, key=None)
        assert "img-src 'self' blob: http://cam.lan;" in page.headers["Content-Security-Policy"]
