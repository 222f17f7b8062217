"""The page at `/`: one file that loads nothing from elsewhere, runs no script but its own, and inserts no markup."""

import base64
import hashlib
import re


def test_the_page_is_whole_and_locked(mini_server):
    answer = mini_server.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for element in ("script", "style"):
        (found,) = re.findall(rf"<{element}>(.*?)</{element}>", answer.text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(found.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy


def test_the_page_loads_nothing_and_inserts_no_markup(mini_server):
    page = mini_server.get("/").text
    assert not re.search(r"https?://|\bsrc=|\bhref=|@import|url\(", page)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|\son\w+=|style=", page)
    for name in re.findall(r'<label for="(\w+)"', page):
        assert f'id="{name}"' in page
    fields = re.findall(r'<(?:select|input|textarea)[^>]* id="(\w+)"', page)
    assert fields
    assert all(f'<label for="{name}"' in page for name in fields)
    paths = re.findall(r'fetch\("([\w/]+)"', page)
    assert {"v1/translate", "v1/models", "translate_file", "download_file/", "frontend/settings"} == set(paths)
    for path in paths:
        assert (
            mini_server.request("OPTIONS", f"/{path}x"[: None if path[-1] == "/" else -1]).status_code == 405
        )  # a route
