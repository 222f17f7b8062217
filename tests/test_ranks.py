"""What several ranks share out and agree on, without processes; `reliability/test_several_ranks.py` has those."""

import json
import socket
import threading

import numpy as np
import pytest
import torch
from torch.distributed import HashStore, TCPStore

from translora.cli import main
from translora.data.batching import even_batches, micro_batches
from translora.errors import ConfigError, OtherRankError, RankError
from translora.io.launcher import Place, place
from translora.training.ranks import ALONE, joined, shared_out
from translora.training.rollcall import RollCall, waiting_seconds


def test_the_costliest_items_go_first_each_to_who_has_least():
    assert shared_out([5, 1, 4, 3, 3], 2) == [[0, 4], [1, 2, 3]]
    assert shared_out([2, 2], 3) == [[0], [1], []]
    assert shared_out([], 2) == [[], []]
    random = np.random.default_rng(0).integers(1, 500, 400)
    shares = shared_out(random, 7)
    assert sorted(item for share in shares for item in share) == list(range(400))
    loads = [int(random[share].sum()) for share in shares]
    assert max(loads) - min(loads) <= 2


def test_a_step_is_cut_so_that_each_rank_has_an_equal_part():
    random = np.random.default_rng(0)
    source, target = random.integers(3, 60, 200), random.integers(3, 60, 200)
    pairs = random.permutation(200)[:150]
    for budget, ranks in ((100_000, 2), (100_000, 3), (3000, 4), (400, 2)):
        parts = even_batches(pairs, source, target, budget, ranks)
        assert sorted(np.concatenate(parts)) == sorted(pairs)
        assert len(parts) >= len(micro_batches(pairs, source, target, budget))
        for part in parts:
            assert len(part) * (source[part].max() + target[part].max()) <= budget
        costs = [int((source + target)[part].sum()) for part in parts]
        loads = [sum(costs[i] for i in share) for share in shared_out(costs, ranks)]
        assert max(loads) < 1.15 * sum(loads) / ranks
    assert [len(part) for part in even_batches(pairs[:2], source, target, 100_000, 3)] == [1, 1]


def test_one_process_alone_asks_nobody():
    with joined() as ranks:
        assert ranks is ALONE
    assert list(ALONE.share([3, 1, 2])) == [0, 1, 2]
    assert (ALONE.add_up(1.5, []), ALONE.gather({}), ALONE.least(3), ALONE.any(True)) == (1.5, [{}], 3, True)


TORCHRUN = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}


@pytest.fixture
def environment(monkeypatch):
    """Of a rank of four on two machines; the port is set by each test."""
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", "1")
    return monkeypatch


def test_a_place_is_what_torchrun_says(environment):
    assert place() == Place(1, 4, 1, 2, 0)
    environment.setenv("TORCHELASTIC_RESTART_COUNT", "2")
    assert place().restart == 2
    environment.setenv("WORLD_SIZE", "1")
    assert place() == Place()
    environment.setenv("WORLD_SIZE", "four")
    with pytest.raises(ConfigError, match="WORLD_SIZE 'four' in the environment is no number"):
        place()
    environment.setenv("WORLD_SIZE", "1")
    environment.delenv("MASTER_PORT")
    assert place() == Place()


def test_other_commands_do_not_run_on_several_ranks(environment, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["compare", "demo"])
    assert ended.value.code == 2
    assert "only translora train runs on several ranks" in capsys.readouterr().err


def test_a_time_limit_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("TRANSLORA_TIMEOUT", "soon")
    with pytest.raises(ConfigError, match="TRANSLORA_TIMEOUT 'soon': give the seconds"):
        waiting_seconds()


def test_a_port_in_use_is_one_line(environment):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment.setenv("RANK", "0")
        environment.setenv("MASTER_PORT", str(taken.getsockname()[1]))
        with pytest.raises(RankError, match=r"port \d+ of 127.0.0.1 is in use: give another one"), joined():
            pass


def test_a_rank_that_does_not_come_is_named(environment):
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    environment.setenv("MASTER_PORT", str(store.port))
    environment.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    environment.setenv("TRANSLORA_TIMEOUT", "0.3")
    environment.setenv("RANK", "0")
    with pytest.raises(RankError, match="rank 1 of 4 did not come within 0.3 s: look at its output"), joined():
        pass
    assert not torch.distributed.is_initialized()


def calls(size, seconds=7.0):
    """The roll calls of `size` ranks that have arrived."""
    store = HashStore()
    found = [RollCall(store, Place(rank, size), seconds) for rank in range(size)]
    at_once([one.arrive for one in found], ["gloo"] * size)
    return found


def at_once(works, arguments):
    """What each of `works` returns or raises, done beside each other."""
    found = [None] * len(works)

    def do(i):
        try:
            found[i] = works[i](arguments[i])
        except Exception as error:
            found[i] = error

    threads = [threading.Thread(target=do, args=(i,)) for i in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_ranks_with_another_version_are_refused():
    store = HashStore()
    ranks = [RollCall(store, Place(rank, 2), 5.0) for rank in range(2)]
    first, second = at_once([one.arrive for one in ranks], ["gloo", "cpu:gloo,cuda:nccl"])
    assert isinstance(second, OtherRankError)
    assert str(first).startswith("the ranks differ in backend: gloo on rank 0")
    assert second.exit_code == first.exit_code == 2


def test_who_died_and_who_hangs_is_said_by_one():
    gone = RuntimeError("Connection closed by peer")
    ranks = calls(3)
    ranks[0].beat("step 17")
    second, third = at_once([ranks[1].why, ranks[2].why], [gone, gone])
    assert "rank 0" in str(second)
    assert str(second).endswith("is gone, last heard of in step 17: the same command goes on from the last checkpoint")
    assert isinstance(third, OtherRankError)


def test_a_rank_that_says_why_it_left_is_not_called_dead():
    ranks = calls(2)
    own = ConfigError("no such file")
    one, other = at_once([ranks[1].leave, ranks[0].why], [own, RuntimeError("Connection closed by peer")])
    assert one is own
    assert isinstance(other, OtherRankError)
    assert other.exit_code == 2


def test_what_all_ranks_say_is_said_once():
    ranks = calls(3)
    same = [RankError("the same"), RankError("the same"), RankError("another")]
    told = at_once([one.leave for one in ranks], same)
    assert told[0] is same[0]
    assert isinstance(told[1], OtherRankError)
    assert told[2] is same[2]


def test_keys_of_an_earlier_start_do_not_answer():
    store = HashStore()
    RollCall(store, Place(1, 2, restart=0), 0.2).store.set("here/1", json.dumps({}))
    first = RollCall(store, Place(0, 2, restart=0), 0.2)
    first.remember("begun")
    assert not first.remembers("begun")
    again = RollCall(store, Place(0, 2, restart=1), 0.2)
    assert again.remembers("begun")
    with pytest.raises(RankError, match="rank 1 of 2 did not come"):
        again.arrive("gloo")
