"""Searches that tickets join: turns by line, tickets that are withdrawn or fail, memory that runs out, fair turns."""

from dataclasses import replace

import pytest
import torch

from translora.config import Config, DecodingConfig
from translora.models.budget import Budget
from translora.models.load import load
from translora.models.t5.decode import Decoder
from translora.serve.scheduler import MOST_RUNNING, Scheduler
from translora.translation.decode import Part, decode, make_decoder, translations
from translora.translation.running import PartTicket, RunningSearch

DECODING = DecodingConfig(max_tokens=12)
LINES = ["Guten Morgen!", "Wo ist der Bahnhof?", "", "Klicken Sie auf Speichern.", "Ja", "Das ist gut."]


@pytest.fixture(scope="module")
def translator(tiny_model):
    return load(Config(model=str(tiny_model)))


@pytest.fixture(scope="module")
def decoder(translator):
    return make_decoder(translator)


@pytest.fixture
def running(translator, decoder):
    """A search that has about five places."""
    return RunningSearch(decoder, PartTicket.of(Part(translator, [], DECODING), True), Budget(50))


def ticket(translator, lines, decoding=DECODING, **options):
    return PartTicket.of(Part(translator, lines, decoding, **options), True)


def result(one):
    return translations(one.part, one.tasks, one.future.result(0))


def assert_as_alone(translator, one):
    alone = decode(translator, one.part.lines, one.part.decoding, scores=True)
    for our, other in zip(result(one), alone, strict=True):
        assert (our.text, our.cut_by) == (other.text, other.cut_by)
        assert our.score == pytest.approx(other.score, abs=1e-4)


def test_lines_of_tickets_take_turns(translator, running):
    """A short ticket does not wait for the long one before it; limits differ."""
    long, short = ticket(translator, LINES * 6), ticket(translator, LINES[:2], replace(DECODING, max_tokens=5))
    running.add(long)
    assert running.step()
    running.add(short)
    while not short.future.done():
        assert running.step()
    assert running.pending > 10
    while running.step():
        pass
    assert not running.running
    assert not running.pending
    for one in (long, short):
        assert_as_alone(translator, one)


def test_a_withdrawn_ticket_gives_up_its_places(translator, running):
    gone, stays, late = (ticket(translator, LINES * count) for count in (2, 1, 1))
    for one in (gone, stays, late):
        running.add(one)
    running.step()
    running.step()
    assert any(own is gone for own, _ in running._under_way.values())
    running.withdraw(gone)
    running.withdraw(gone)
    running.withdraw(late)
    running.step()
    assert running.worked.total() <= len(stays.tasks)
    while running.step():
        pass
    assert_as_alone(translator, stays)
    assert not gone.future.done()
    assert not late.future.done()
    assert not running.pending


def test_a_closed_search_begins_nothing_new(translator, running):
    one = ticket(translator, LINES * 3)
    running.add(one)
    running.step()
    running.closed = True
    while running.step():
        pass
    assert running.pending
    running.closed = False
    while running.step():
        pass
    assert_as_alone(translator, one)


def test_a_ticket_that_fails_leaves_the_others(translator, running, monkeypatch):
    bad, *good = ticket(translator, ["Bahnhof " * 9, "Ja"]), ticket(translator, LINES), ticket(translator, LINES[3:])
    encode, longest = Decoder.encode, max(len(task.row) for task in bad.tasks)

    def picky(self, rows, *rest):
        if any(len(row) == longest for row in rows):
            raise RuntimeError("a defect")
        return encode(self, rows, *rest)

    monkeypatch.setattr(Decoder, "encode", picky)
    for one in (good[0], bad, good[1]):
        running.add(one)
    while running.step():
        pass
    with pytest.raises(RuntimeError, match="a defect"):
        bad.future.result(0)
    monkeypatch.undo()
    for one in good:
        assert_as_alone(translator, one)


def test_out_of_memory_halves_what_is_under_way(translator, running, monkeypatch):
    tickets, step, most = [ticket(translator, LINES * 2) for _ in range(2)], Decoder.step, 2

    def tight(self, cache):
        if cache.lines > most:
            raise torch.OutOfMemoryError
        return step(self, cache)

    monkeypatch.setattr(Decoder, "step", tight)
    for one in tickets:
        running.add(one)
    while running.step():
        pass
    for one in tickets:
        assert_as_alone(translator, one)
    most = 0
    last = ticket(translator, LINES[:1])
    running.add(last)
    while running.step():
        pass
    with pytest.raises(Exception, match="out of memory even with one"):
        last.future.result(0)


def test_groups_share_the_time_and_few_run_at_once(translator, decoder):
    """A long search does not hold up others, and those of which too many run get their turn too."""
    scheduler = Scheduler()
    sizes = {1: 10, **dict.fromkeys(range(2, 8), 1)}
    tickets = [ticket(translator, LINES * size, replace(DECODING, beams=beams)) for beams, size in sizes.items()]
    for one in tickets:
        scheduler.add(one.key, one, lambda one=one: RunningSearch(decoder, one, Budget(50)))
    order, most = [], 0
    while turn := scheduler.next():
        scheduler.stepped(turn, turn.group.step(), 1.0)
        order += [one for one in tickets if one.future.done() and one not in order]
        most = max(most, sum(each.group.running for each in scheduler._turns.values()))
    assert most == MOST_RUNNING
    assert order[-1] is tickets[0]
    assert len(order) == len(tickets)
    assert not len(scheduler)
    for one in tickets:
        assert_as_alone(translator, one)
