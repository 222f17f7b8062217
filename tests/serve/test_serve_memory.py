"""What adapters cost: eight on one base, and hundreds that come and go under load."""

import gc
import threading
import weakref

import pytest
import torch
from servers import LINES, make_adapter, serving

import translora
from translora import mini
from translora.models.t5.decode import copied_bytes
from translora.serve.models import Loading, Models
from translora.serve.server import freeze_objects


def tensor_bytes():
    """The bytes of all tensors that are alive."""
    gc.collect()
    found = {}
    for one in gc.get_objects():
        if issubclass(type(one), torch.Tensor) and one.device.type != "meta":
            storage = one.untyped_storage() if one.layout == torch.strided else None
            if storage is not None:
                found[storage.data_ptr()] = storage.nbytes()
    return sum(found.values())


def test_eight_adapters_take_little_more_than_one(tmp_path):
    folder = make_adapter(tmp_path / "a", mini.MODEL, 1, targets="all-linear", rank=8)
    before, sizes = tensor_bytes(), []
    for count in (1, 8):
        models = Models(Loading())
        models.load_all([f"a{number}={folder}" for number in range(count)])
        (engine,) = {served.engine for served in models}
        packed = copied_bytes(engine.loaded.model, torch.float32)  # by oneDNN: they have no address
        own = sum(p.numel() * p.element_size() for p in engine.loaded.model.parameters())
        sizes.append(tensor_bytes() - before + packed)
        assert sizes[-1] > own + packed
        del models, engine
    assert sizes[1] < 1.3 * sizes[0]


def test_a_removed_model_is_freed_though_garbage_collections_leave_it_out(adapters):
    models = Models(Loading())
    models.load_all([str(adapters / "a0"), str(adapters / "a1")])
    parameters = weakref.ref(next(models.get("a0").engine.loaded.model.parameters()))
    translators = [weakref.ref(next(iter(served.translators.values()))) for served in models]
    gc.disable()
    freeze_objects()
    try:
        assert gc.get_freeze_count() > 50 * len(gc.get_objects())
        for count in (1, 0):
            models.release(models.remove(f"a{1 - count}"))
            assert sum(found() is not None for found in translators) == count
            assert (parameters() is not None) == bool(count)
    finally:
        gc.unfreeze()
        gc.enable()


@pytest.mark.slow
def test_many_adapters_come_and_go_under_load(adapters):
    """No request fails, and no memory is left behind."""
    with serving([adapters / "a0", adapters / "a1"], adapters_root=adapters) as server:
        (engine,) = {served.engine for served in server.service.models}
        decoder, stop, answers = engine._decoder, threading.Event(), []
        expected = {
            f"a{i}": translora.Translator.from_pretrained(adapters / f"a{i}").translate(LINES) for i in range(3)
        }

        def ask(name):
            while not stop.is_set():
                answers.append(server.texts(LINES[:2], adapter=name) == expected[name][:2])

        def cycle(number):
            name = f"new{number}"
            assert server.post("/v1/adapters", json={"name": name, "path": "a2"}).status_code == 201
            if number % 20 == 0:
                assert server.texts(LINES, adapter=name) == expected["a2"]
            assert server.delete(f"/v1/adapters/{name}").status_code == 200

        def level():
            server.wait_idle()
            server.service.batcher.exclusive(lambda: None)
            return tensor_bytes(), decoder.nbytes, decoder.adapters

        cycle(0)
        before, threads = level(), [threading.Thread(target=ask, args=(f"a{i}",)) for i in range(2)]
        for thread in threads:
            thread.start()
        try:
            for number in range(1, 51):
                cycle(number)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        after = level()
    assert len(answers) > 20
    assert all(answers)
    assert after[1:] == before[1:]
    assert after[0] <= 1.01 * before[0]
