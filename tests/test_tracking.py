import dataclasses
import sys
from pathlib import Path

import pytest

import translora
from translora.errors import ConfigError
from translora.training.tracking import Journal


class Notes:
    """A tracker such as a user would write."""

    def __init__(self):
        self.rows, self.closed = [], 0

    def log(self, figures, step):
        self.rows.append((step, dict(figures)))

    def close(self):
        self.closed += 1


def test_a_tracker_is_told_what_metrics_jsonl_holds(tiny_config):
    notes = Notes()
    run = translora.train(tiny_config, trackers=[notes])
    written = [{k: v for k, v in row.items() if k not in ("time", "step")} for row in run.figures()]
    assert [figures for _, figures in notes.rows] == written
    assert [step for step, _ in notes.rows] == [row["step"] for row in run.figures()]
    assert notes.closed == 1
    assert not run.tensorboard.exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_reads_the_event_files(tiny_config):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    training = dataclasses.replace(tiny_config.training, tensorboard=True)
    run = translora.train(dataclasses.replace(tiny_config, training=training))
    events = EventAccumulator(str(run.tensorboard)).Reload()
    losses = {event.step: event.value for event in events.Scalars("loss")}
    assert losses == pytest.approx({row["step"]: row["loss"] for row in run.figures() if "loss" in row})
    assert [event.step for event in events.Scalars("validation_bleu")] == [4, 8]


def test_without_tensorboard_the_run_says_so_before_it_begins(tiny_config, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    training = dataclasses.replace(tiny_config.training, tensorboard=True)
    config = dataclasses.replace(tiny_config, training=training)
    with pytest.raises(ConfigError, match=r"pip install 'translora\[tensorboard\]'"):
        translora.train(config)
    assert not Path(config.output).exists()


def test_lines_that_were_not_written_whole_are_dropped(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(b'{"step": 1}\n\0\0\0\n[]\n{"step": "x"}\n\xff\n{"step": 2}\n{"step": 3}\n{"step": 2')
    Journal(file).rewind(2)
    assert file.read_text() == '{"step": 1}\n{"step": 2}\n'
