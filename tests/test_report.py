import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

import translora
from translora.config import Config
from translora.config.load import save_config
from translora.errors import DataError
from translora.io import console
from translora.report.changes import by_length, marked_words, most_changed
from translora.report.plots import bar_plot, line_plot
from translora.report.run import write_report
from translora.runs.folder import Run


@pytest.fixture
def run(tiny_config):
    return translora.train(tiny_config)


class Strict(HTMLParser):
    """Collects tags and fails on one that is left open or asks for something outside the file."""

    VOID = ("meta", "br", "link", "img")

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.described = [], [], 0

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self.described += dict(attributes).get("role") == "img" and bool(dict(attributes).get("aria-label"))
        for name, value in attributes:
            outside = name in ("src", "href", "xlink:href", "action") and not str(value).startswith("#")
            assert not outside, f"{tag} asks for {value}"

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_run_has_its_report(run):
    page = run.report.read_text(encoding="utf-8")
    parser = Strict()
    parser.feed(page)
    assert not parser.open
    assert parser.tags.count("svg") >= 2
    figures = run.summary
    assert f"{figures.bleu_after:.1f}" in page
    assert figures.scores_after.bleu.signature in page
    for text in ("BLEU changed by", "How to get the same", "max_tokens: ", "torch "):
        assert text in page
    assert not re.search(r"url\((?!#)|@import|<script", page)
    assert parser.described == parser.tags.count("svg")


def test_a_report_is_the_same_again(run):
    first = run.report.read_text(encoding="utf-8")
    run.report.unlink()
    assert write_report(run).read_text(encoding="utf-8") == first


def test_a_run_that_has_not_finished(tmp_path):
    with pytest.raises(DataError, match="no run folder: give one that translora train wrote"):
        write_report(Run(tmp_path))
    save_config(Config(), tmp_path / "config.yaml")
    with pytest.raises(DataError, match="the run has not finished: start the same command again"):
        write_report(Run(tmp_path))


def test_markup_in_a_text_stays_text(run):
    for name in ("source", "reference", "before", "after"):
        file = run.translations / f"{name}.txt"
        lines = file.read_text(encoding="utf-8").split("\n")
        file.write_text("\n".join(["<script>alert(1)</script> & co", *lines[1:]]), encoding="utf-8")
    (run.translations / "after.txt").write_text(
        "\n".join(["<b>x</b>", *run.translated("after")[1:], ""]), encoding="utf-8"
    )
    assert "<script>alert" not in write_report(run).read_text(encoding="utf-8")


def test_words_that_differ_are_marked():
    assert marked_words("the <red> house", "the blue house") == "the <mark>&lt;red&gt;</mark> house"
    assert marked_words("", "the house") == ""


def test_what_changed_most():
    references = ["one two three four", "red green blue", "same same"]
    before, after = ["one two", "red green blue", "same same"], ["one two three four", "red", "same same"]
    best, worst = most_changed(["a", "b", "c"], references, before, after)
    assert [change.number for change in best] == [1]
    assert [change.number for change in worst] == [2]
    assert best[0].change > 0 > worst[0].change


def test_buckets_of_few_pairs_are_left_out():
    sources = ["a b"] * 6 + ["a b c d e f g"] * 4
    (bucket,) = by_length(sources, sources, [sources], "en")
    assert (bucket.name, bucket.pairs) == ("1 to 5 words", 6)


PLOTS = [
    line_plot({"a": ([1, 2], [3.0, 4.0]), "b": ([1, 2], [3.0, 4.0])}, "step", "loss", 'It rises; "a" < "b".'),
    bar_plot(["short", "long"], {"before": [1.0, 2.0], "after": [3.0, 4.0]}, "BLEU", 'It rises; "a" < "b".'),
]


@pytest.mark.parametrize("plot", PLOTS, ids=["lines", "bars"])
def test_text_in_plots_has_the_colour_of_the_page_and_lines_read_on_any(plot):
    svg = ElementTree.fromstring(plot.svg)
    texts = list(svg.iter("{http://www.w3.org/2000/svg}text"))
    assert len(texts) > 8
    assert not any("fill" in element.get("style", "") or element.get("fill") for element in texts)
    colours = set(re.findall(r"(?:stroke|fill): ?(#[0-9a-f]{6})", plot.svg))
    assert len(colours) >= 3  # two series and the grid
    assert all(1 / 3 < brightness(colour) < 2 / 3 for colour in colours)
    assert "http" not in plot.svg.replace("http://www.w3.org/", "")


def brightness(colour):
    """From 0, black, to 1, white, as an eye sees it (ITU-R BT.601)."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 255


@pytest.mark.parametrize("plot", PLOTS, ids=["lines", "bars"])
def test_a_plot_says_in_words_what_it_shows(plot):
    parser = Strict()
    parser.feed(plot.__html__())
    assert not parser.open
    assert parser.described == 1
    assert 'aria-label="It rises; &#34;a&#34; &lt; &#34;b&#34;."' in plot.__html__()


def test_a_table_that_is_too_wide_is_folded_and_not_cut(monkeypatch, capsys):
    monkeypatch.setattr(console.results, "_width", 40)
    console.show_table("Costs", ["", "trained", "seconds"], [["full-rates-by-tensor", "9,905,408", "1,352"]] * 2)
    shown = capsys.readouterr().out
    assert "\u2026" not in shown
    names = "".join(row[1].strip() for row in (line.split("\u2502") for line in shown.splitlines()) if len(row) > 1)
    assert names == "full-rates-by-tensor" * 2
