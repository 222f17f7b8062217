"""The page in a real browser, used as a person would: with the mouse, by the keyboard alone, dark, and on a phone."""

import hashlib
import re
import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright
from servers import LINES, serving

import translora
from translora.serve.keys import ApiKeys, Key

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on PATH to try the page in")
PHONE, SCREEN = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
HOSTILE = "<script>document.title = 'run'</script><img src='x' onerror='document.title=1'>"


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=120_000)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def studio(adapters, run_folder, tmp_path_factory):
    """A server of a run, with its report, and two adapters on the same base."""
    run = translora.Run(shutil.copytree(run_folder, tmp_path_factory.mktemp("studio") / "law"))
    with run.report.open("a", encoding="utf-8") as report:
        report.write(HOSTILE)
    with serving([run.folder, adapters / "a0", adapters / "a1"]) as server:
        yield server


@pytest.fixture
def open_page(browser):
    """Opens the page of a server; at the end nothing may have gone wrong in it or been asked for elsewhere."""
    opened, wrong, asked = [], [], []

    def open_one(server, expected_errors=(), **options):
        context = browser.new_context(**options)
        opened.append(context)
        context.set_default_timeout(30_000)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
        context.on("request", lambda request: asked.append(request.url.startswith((server.url, "blob:" + server.url))))
        page.goto(server.url)
        return page

    yield open_one
    for context in opened:
        context.close()
    assert all("the server responded with a status of 40" in one for one in wrong), wrong
    assert all(asked)


def choose(page, **choices):
    """Choose the models and the number of candidates, once the page knows them."""
    for name, value in choices.items():
        page.locator(f"#{name} option[value='{value}']").wait_for(state="attached")
        page.get_by_label(
            {"model": "Model", "other": "Compare with", "count": "Candidates"}[name], exact=True
        ).select_option(value)


def shown(page, number=0):
    return page.locator(f"#text-{number}")


def done(page, text="Translated."):
    expect(page.locator("#status")).to_contain_text(text, timeout=30_000)


def test_a_text_is_translated_as_one_types(studio, open_page):
    page = open_page(studio, viewport=SCREEN)
    choose(page, model="a0")
    page.get_by_label("Text", exact=True).fill(f"{LINES[0]}\n\n{LINES[1]}")
    done(page)
    (expected,) = studio.texts([f"{LINES[0]}\n\n{LINES[1]}"], adapter="a0")
    assert shown(page).text_content() == expected
    choose(page, model="a1")
    (other,) = studio.texts([f"{LINES[0]}\n\n{LINES[1]}"], adapter="a1")
    expect(shown(page)).to_have_text(other, use_inner_text=False)
    page.get_by_label("Text", exact=True).fill("")
    expect(shown(page)).to_have_text("")


def test_two_adapters_and_the_base_side_by_side(studio, open_page):
    page = open_page(studio, viewport=SCREEN)
    choose(page, model="a0", other="=a1")
    page.get_by_label("Text", exact=True).fill(LINES[1])
    done(page, "Differences are marked")
    texts = [studio.texts(LINES[1:2], adapter=name)[0] for name in ("a0", "a1")]
    assert [shown(page, number).text_content() for number in (0, 1)] == texts
    marked = [shown(page, number).locator("mark").all_text_contents() for number in (0, 1)]
    assert any(marked)
    rest = [re.sub(r"\s+", "", texts[number]) for number in (0, 1)]
    for number in (0, 1):
        for text in marked[number]:
            assert re.sub(r"\s+", "", text) in rest[number]
            rest[number] = rest[number].replace(re.sub(r"\s+", "", text), "", 1)
    assert sorted(rest[0]) == sorted(rest[1])  # without what is marked both are the same
    choose(page, other="base")
    base = studio.texts(LINES[1:2], adapter="a0", base=True)
    expect(shown(page, 1)).to_have_text(base[0], use_inner_text=False)
    assert base == translora.Translator.from_pretrained(str(studio.service.models.get("a0").base)).translate(LINES[1:2])
    choose(page, other="")
    expect(page.locator("#second")).to_be_hidden()


def test_candidates_come_with_their_scores(studio, open_page):
    page = open_page(studio, viewport=SCREEN)
    choose(page, model="a0", count="3")
    page.get_by_label("Text", exact=True).fill(LINES[0])
    done(page)
    asked = {"texts": LINES[0], "adapter": "a0", "scores": True, "alternatives": 2}
    (best,) = studio.post("/v1/translate", json=asked).json()["translations"]
    items = page.get_by_role("list", name="Candidates, the best first").get_by_role("listitem").all_text_contents()
    wanted = [f"{one['text']} (score\u00a0{one['score']:.2f})" for one in [best, *best["alternatives"]]]
    assert [one.replace("\u2212", "-") for one in items] == wanted


def test_a_file_is_uploaded_and_its_translation_downloaded(studio, open_page):
    page = open_page(studio, viewport=PHONE)
    choose(page, model="a1")
    page.get_by_role("button", name="Translate the file").click()
    expect(page.locator("#result")).to_have_text("Choose a file first.")
    content = f"<p>{LINES[0]}</p>{HOSTILE}".encode()
    page.get_by_label("File", exact=True).set_input_files(
        {"name": "my page.html", "mimeType": "text/html", "buffer": content}
    )
    page.get_by_role("button", name="Translate the file").click()
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download my page.en.html").click()
    found = downloading.value
    assert found.suggested_filename == "my page.en.html"
    (expected,) = studio.texts([f"<p>{LINES[0]}</p>"], adapter="a1", format="html")
    assert found.path().read_text(encoding="utf-8") == expected + HOSTILE
    page.get_by_label("File", exact=True).set_input_files(
        {"name": "a.exe", "mimeType": "application/octet-stream", "buffer": b"x"}
    )
    page.get_by_role("button", name="Translate the file").click()
    expect(page.locator("#result")).to_contain_text("the format of .exe is not supported")


def test_markup_comes_back_as_text(studio, open_page):
    page = open_page(studio, viewport=SCREEN)
    choose(page, model="a0", other="=a1", count="3")
    page.get_by_label("Text", exact=True).fill(f"Ja {HOSTILE}")
    done(page, "translation")
    for number in (0, 1):
        assert "<script>" in shown(page, number).text_content()
        assert not page.locator(f"#text-{number} :not(mark), #list-{number} script, #list-{number} img").count()
    assert page.title() == "translora"


def test_a_report_opens_and_nothing_runs_in_it(studio, open_page):
    page = open_page(studio, viewport=SCREEN)
    choose(page, model="law")
    with page.context.expect_page() as opening:
        page.get_by_role("link", name="Report of the training of law").click()
    report = opening.value
    report.wait_for_load_state()
    expect(report.get_by_role("heading", level=1)).to_be_visible()
    assert report.title() not in ("run", "1", "")
    assert report.evaluate("window.origin") == "null"  # a sandbox of its own
    choose(page, model="a0")
    expect(page.locator("#report-0")).to_be_hidden()


def test_the_keyboard_alone_does_all(studio, open_page):
    page = open_page(studio, viewport=SCREEN)
    choose(page, model="a0")
    page.reload()
    page.locator("#model option").first.wait_for(state="attached")
    expect(page.get_by_label("Text", exact=True)).to_be_focused()
    page.keyboard.type(LINES[0])
    order = ["count", "other", "pair", "model"]
    for name in order:
        page.keyboard.press("Shift+Tab")
        expect(page.locator(f"#{name}")).to_be_focused()
    page.keyboard.type("a0")
    done(page)
    expect(shown(page)).to_have_text(studio.texts(LINES[:1], adapter="a0")[0], use_inner_text=False)
    for name in [*reversed(order[:-1]), "source", "copy-0", "file", "send"]:
        page.keyboard.press("Tab")
        expect(page.locator(f"#{name}")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#result")).to_have_text("Choose a file first.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, SCREEN], ids=["phone", "screen"])
def test_axe_finds_nothing_and_nothing_overflows(studio, open_page, scheme, size):
    page = open_page(studio, viewport=size, color_scheme=scheme)
    choose(page, model="law", other="=a1", count="3")
    page.get_by_label("Text", exact=True).fill(LINES[0])
    done(page, "marked")
    found = Axe().run(page)
    assert not found.violations_count, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", back)[:3])) < 150) == (scheme == "dark")


def test_a_key_is_asked_for(adapters, open_page):
    keys = ApiKeys([Key(hashlib.sha256("schlüssel".encode()).hexdigest())])
    with serving([adapters / "a0"], keys=keys) as server:
        page = open_page(server, viewport=SCREEN)
        expect(page.locator("#status")).to_have_text("Enter an API key.")
        page.get_by_label("API key").fill("wrong")
        page.keyboard.press("Tab")
        expect(page.locator("#status")).to_have_text("Invalid API key")
        page.get_by_label("API key").fill("schlüssel")
        page.keyboard.press("Tab")
        page.get_by_label("Text", exact=True).fill(LINES[0])
        done(page)
        assert shown(page).text_content() == translora.Translator.from_pretrained(adapters / "a0").translate(LINES[0])
