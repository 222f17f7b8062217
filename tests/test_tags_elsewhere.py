"""The ways of other programs that `benchmarks/placeholders.py` compares with."""

from tags_elsewhere import as_argos, as_weblate


def engine(texts):
    """Another order of words, and capitals: as a translation may be."""
    return [" ".join(reversed(text.upper().split())) for text in texts]


def test_tags_are_searched_for_by_their_texts():
    sources = [
        "press <b>save</b> now", "one <b>two three</b> <i>four</i>", "a <b>b <i>c</i></b> d", "a<br/>b c", " no tag ",
        "<b>%s</b>", "x <b>y</b> y",
    ]  # fmt: skip
    assert as_argos(engine, sources) == [
        "NOW <b>SAVE</b> PRESS",
        "<i>FOUR</i> <b>THREE TWO</b> ONE",
        "A <b>B <i>C</i></b> D",  # nested: apart
        "A<br/>C B",
        " TAG NO ",
        "<b>%S</b>",
        "<b>Y</b> Y X",
    ]


def test_a_text_that_is_not_found_again_is_translated_apart():
    known = {"a b": "C", "a": "A", "b": "B"}
    assert as_argos(lambda texts: [known[text] for text in texts], ["a <b>b</b>"]) == ["A <b>B</b>"]


def test_marks_are_put_back_where_they_are():
    assert as_weblate(lambda texts: [text.replace("X]", "X ]") for text in texts], ["%s and <b>{x}"]) == [
        "%s and <b>{x}"
    ]
    assert as_weblate(lambda texts: ["[X1X] lost"], ["%s and {x}"]) == ["{x} lost"]
