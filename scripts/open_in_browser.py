"""Opens translated pages in Chromium: `python scripts/open_in_browser.py FOLDER ... [--most 200] [--every 5]`.

Each HTML file in the folders is written with a word before each of its texts, and Chromium parses the original and the
result, without scripts and the network. The elements must be the same, in the same order and depth, and so must the
text without the word. It counts the pages, and names those that differ. The program `chromium` must be in the path.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from itertools import islice
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright
from round_trip import MARK, documents, with_marks

from translora.documents.document import Options
from translora.documents.formats import read
from translora.errors import TransloraError

_OUTLINE = """() => {
  const walk = (node) => [node.tagName, ...Array.from(node.children).map(walk)];
  return [JSON.stringify(walk(document.documentElement)), document.documentElement.textContent];
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--most", type=int, default=200, help="pages")
    parser.add_argument("--every", type=int, default=1, help="take each Nth page")
    arguments = parser.parse_args()
    pages = ((name, data) for name, kind, data in documents(arguments.folders) if kind == "html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_context(java_script_enabled=False, offline=True).new_page()
        same = total = 0
        for name, data in islice(pages, 0, arguments.most * arguments.every, arguments.every):
            try:
                marked = with_marks(read(data, name, "html", Options("en", "de")))
            except TransloraError as error:
                print(f"refused: {error}", file=sys.stderr)
                continue
            total += 1
            same += is_same(page, name, data, marked)
        browser.close()
    print(f"{total:,} pages, {same:,} with the same elements and texts after translating")


def is_same(page: Page, name: str, data: bytes, marked: bytes) -> bool:
    """Whether the browser finds the same elements, and the same text but for the marks, in both."""
    (elements, text), (own_elements, own_text) = outline(page, data), outline(page, marked)
    if elements != own_elements:
        print(f"elements: {name}", file=sys.stderr)
        return False
    if bare(text) != bare(own_text) or own_text.count(MARK.strip()) <= text.count(MARK.strip()):
        print(f"texts: {name}", file=sys.stderr)
        return False
    return True


def bare(text: str) -> str:
    """`text` without white space and the letter of the mark, which may touch a word of the element before."""
    return "".join(text.split()).replace(MARK.strip(), "")


def outline(page: Page, data: bytes) -> Any:
    """The elements as nested lists in JSON, and all text."""
    page.route("**/*", lambda route: route.fulfill(body=data, content_type="text/html") if route.request.url == _PAGE
               else route.abort())  # fmt: skip
    page.goto(_PAGE, wait_until="domcontentloaded")
    found = page.evaluate(_OUTLINE)
    page.unroute("**/*")
    return found


_PAGE = "http://page.invalid/"

if __name__ == "__main__":
    main()
