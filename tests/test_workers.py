"""A search by several threads: the translations of one, errors of one, and the number of threads of what follows."""

import threading

import pytest
import torch

from test_t5_decode import lively, rules, searched, sources
from translora.models.t5.decode import Decoder
from translora.translation.search import Line
from translora.translation.workers import most_workers, search_in_threads


@pytest.fixture(autouse=True)
def _three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("beams", [1, 4])
def test_translations_are_those_of_one_thread(beams):
    model, rows = lively("umt5"), sources(130)
    limits, wanted = [90 if i == 3 else 4 + i % 9 for i in range(130)], rules(model, beams)
    found, callers, asked = {}, set(), []

    def one(number, best):
        assert number not in found
        found[number] = best
        callers.add(threading.current_thread())

    def places(longest):
        asked.append(longest)
        return 24

    lines = [Line(i, *line) for i, line in enumerate(zip(rows, limits, strict=True))]
    search_in_threads(Decoder(model, torch.float64), lines, wanted, places, one)
    assert len(callers) == most_workers(torch.device("cpu")) == 3
    assert threading.current_thread() not in callers
    assert asked.count(max(map(len, rows))) >= 3  # each thread has some of the longest
    alone = searched(model, rows, limits, wanted, 8)
    for number, best in enumerate(alone):
        assert [one.ids for one in found[number]] == [one.ids for one in best]
        assert [one.score for one in found[number]] == pytest.approx([one.score for one in best], abs=1e-5)


def test_few_lines_are_translated_by_the_calling_thread():
    model, callers = lively("flan-t5"), set()
    lines = [Line(i, row, 5) for i, row in enumerate(sources(20))]
    decoder = Decoder(model, torch.float64)
    search_in_threads(decoder, lines, rules(model, 1), lambda longest: 8, lambda *_: callers.add(threading.get_ident()))
    assert callers == {threading.get_ident()}


def test_an_error_in_one_thread_ends_all_and_is_raised():
    model, calls = lively("flan-t5"), []
    lines = [Line(i, row, 5) for i, row in enumerate(sources(400))]

    def fails(number, best):
        calls.append(number)
        if len(calls) == 20:
            raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError, match="full"):
        search_in_threads(Decoder(model, torch.float64), lines, rules(model, 1), lambda longest: 24, fails)
    assert len(calls) == 20


def test_the_number_of_threads_stays_for_this_thread_and_later_ones():
    model, seen = lively("flan-t5"), []
    lines = [Line(i, row, 3) for i, row in enumerate(sources(100))]
    search_in_threads(Decoder(model, torch.float64), lines, rules(model, 1), lambda longest: 99, lambda *_: None)
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert [torch.get_num_threads(), *seen] == [3, 3]
