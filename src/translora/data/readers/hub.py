"""Data sets of the hub, streamed, and folders of them on disk. Yields raw records; `sources.py` makes pairs of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from translora.config import SourceConfig
from translora.data.pairs import Item
from translora.data.readers.rows import Records
from translora.data.readers.slices import parse_split, slice_bounds
from translora.errors import DataError
from translora.io.network import require_network


def hub_records(config: SourceConfig) -> Iterator[dict[str, Any]]:
    """Stream the records of one split of a hub data set (or of a folder in the hub's form).

    Raises `DataError` where it is not on the hub, the hub cannot be reached, or the split is not there.
    """
    import datasets
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if not Path(config.path).is_dir():
        if HF_HUB_OFFLINE:
            yield from _load(config)
            return
        require_network(f"data set {config.path} is not on disk", DataError)
    name, start, stop = parse_split(config.split)
    with _errors_named(config), _quiet():
        builder = datasets.load_dataset_builder(config.path, config.name or None)
        rows = builder.as_streaming_dataset(split=name)
    with _errors_named(config):
        yield from islice(rows, *slice_bounds(start, stop, lambda: _rows_of(builder, name, config)))


def saved_records(config: SourceConfig) -> Iterator[dict[str, Any]]:
    """The records of a folder written by `save_to_disk`, or of a folder of data files in the hub's form."""
    import datasets

    folder = Path(config.path)
    if not any((folder / file).exists() for file in ("state.json", "dataset_dict.json")):
        yield from _load(config)
        return
    with _errors_named(config), _quiet():
        saved = datasets.load_from_disk(str(folder))
    name, start, stop = parse_split(config.split)
    if isinstance(saved, datasets.DatasetDict):
        if name not in saved:
            raise DataError(f"{folder}: no split {name!r}; it has {', '.join(saved)}: name one in split")
        saved = saved[name]
    first, last = slice_bounds(start, stop, lambda: len(saved))
    for row in range(first, len(saved) if last is None else min(last, len(saved))):
        yield saved[row]


def _load(config: SourceConfig) -> Iterator[dict[str, Any]]:
    """All records of a split, prepared once by `datasets` into its own cache on disk and memory-mapped."""
    import datasets

    parse_split(config.split)
    with _errors_named(config):
        with _quiet():
            records = datasets.load_dataset(config.path, config.name or None, split=config.split or "train")
        yield from records


def _rows_of(builder: Any, split: str, config: SourceConfig) -> int:
    known = builder.info.splits or {}
    if split not in known:
        raise DataError(f"{config.path}: the size of split {split!r} is not known: give rows, not a percentage")
    return int(known[split].num_examples)


@contextmanager
def _errors_named(config: SourceConfig) -> Iterator[None]:
    """Turn errors of `datasets` for a wrong name, configuration, split or file into one line."""
    try:
        yield
    except (ValueError, OSError, KeyError, RuntimeError) as error:
        what = " ".join(filter(None, (config.path, config.name, config.split)))
        raise DataError(f"data set {what}: {str(error)[:300]}: check its name, configuration and split") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no warnings of `datasets` meanwhile; its settings are then as they were."""
    import datasets

    bars, verbosity = datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)
        if not bars:
            datasets.enable_progress_bars()


def read_saved_set(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """The pairs of a folder that `datasets` saved, or of data files."""
    records = Records(config, (source, target), "saved data set")
    for number, record in enumerate(saved_records(config), start=1):
        yield records.pair(record, number)


def read_hub_set(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """The pairs of a hub data set."""
    records = Records(config, (source, target), "data set")
    for number, record in enumerate(hub_records(config), start=1):
        yield records.pair(record, number)
