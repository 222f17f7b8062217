"""Translating speed and memory: translora, transformers' `generate` and CTranslate2, all sides in one run.

    python benchmarks/translate_throughput.py --model runs/demo            an adapter, on the embedded test set
    python benchmarks/translate_throughput.py --model flan-t5-small        a shape with random weights, news lengths

Each side runs in a process of its own, so that its peak memory is its own, and the sides take turns, so that what else
the machine does hits all alike. All sides have the same limit on the length of a translation, and the same lengths
where weights are random. "of matrix rate" is the arithmetic that the real tokens need (with beams, of each beam),
against a 2048 x 2048 matrix product timed in the same process. A side whose library is missing is left out, and
CTranslate2's are where there is a GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from pyarrow.feather import write_feather
from rich.console import Console
from rich.table import Table
from translate_side import SIDES, is_shape, make_job
from workload import make_workload

from translora.config import DecodingConfig
from translora.models.load import quiet_transformers

FIGURES = ("lines_per_second", "peak_memory_bytes", "share_of_matrix_rate")
_ENGINE_SIDES = ("ctranslate2", "ctranslate2_int8", "translora_int8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini", help="a run, an adapter, a model, mini, or flan-t5-SHAPE")
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--lines", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32, help="lines of a batch of `generate`")
    parser.add_argument("--batch-tokens", type=int, default=DecodingConfig().batch_tokens, help="translora's budget")
    parser.add_argument("--threads", type=int, default=0, help="of each side; 0 takes as many as there are cores")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--json", type=Path, help="append the runs to the list in this file")
    options = parser.parse_args()
    sides = [side for side in options.sides if _is_there(side)]
    with tempfile.TemporaryDirectory() as folder:
        converted = f"{folder}/converted"
        if any(side in _ENGINE_SIDES for side in sides):
            convert(options.model, folder, converted)
        data = f"{folder}/data.feather" if is_shape(options.model) else ""
        if data:
            write_feather(make_workload("news").slice(0, options.lines), data)
        runs = [_run(options, sides, beams, [f"--converted={converted}", f"--data={data}"]) for beams in options.beams]
    for run in runs:
        _show(run)
    if options.json:
        before = json.loads(options.json.read_text(encoding="utf-8")) if options.json.exists() else []
        options.json.write_text(json.dumps([*before, *runs], indent=2) + "\n", encoding="utf-8")


def _is_there(side: str) -> bool:
    if side not in _ENGINE_SIDES:
        return True
    if torch.cuda.is_available():  # it would be timed on the CPU, and its memory is not torch's
        print(f"{side}: left out, CTranslate2 is measured on a CPU alone", file=sys.stderr)
        return False
    if importlib.util.find_spec("ctranslate2") is None:
        print(f"{side}: left out, the library ctranslate2 is not installed", file=sys.stderr)
        return False
    return True


def convert(model: str, folder: str, converted: str) -> None:
    """Write the model, its adapter merged in, in CTranslate2's format."""
    from ctranslate2.converters import TransformersConverter

    job = make_job(model, 1, 1)
    with quiet_transformers():
        job.loaded.model.save_pretrained(f"{folder}/model")
        job.loaded.tokenizer.save_pretrained(f"{folder}/model")
        TransformersConverter(f"{folder}/model").convert(converted)


def _run(options: Any, sides: list[str], beams: int, files: list[str]) -> dict[str, Any]:
    done: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for number in range(options.rounds):
        for side in sides:
            done[side].append(_side(side, options, beams, files))
            speed = done[side][-1]["lines_per_second"]
            print(f"beams {beams}, round {number + 1}: {side} {speed:.2f} lines/s", file=sys.stderr)
    figures = {}
    for side, rounds in done.items():
        figures[side] = {figure: statistics.median(run[figure] for run in rounds) for figure in FIGURES}
        figures[side]["rounds"] = rounds
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": options.threads or os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
    }
    chosen = {flag: getattr(options, flag) for flag in ("model", "lines", "batch", "batch_tokens")}
    return {"sides": figures, "beams": beams, **chosen, "machine": machine}


def _side(side: str, options: Any, beams: int, files: list[str]) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).with_name("translate_side.py")), side]
    command += [f"--model={options.model}", f"--beams={beams}", f"--lines={options.lines}", *files]
    command += [f"--batch={options.batch}", f"--batch-tokens={options.batch_tokens}"]
    threads = str(options.threads or os.cpu_count())
    quiet = {"GOMP_SPINCOUNT": "1000", "TOKENIZERS_PARALLELISM": "false"}  # as the command line of translora sets it
    environment = {**os.environ, **quiet, "OMP_NUM_THREADS": threads}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _show(run: dict[str, Any]) -> None:
    kind = "greedy" if run["beams"] == 1 else f"beam {run['beams']}"
    table = Table(title=f"{run['model']}, {kind}, {run['lines']} lines", min_width=100)
    for heading in ("", "lines/s (range)", "peak memory", "of matrix rate", "translora is"):
        table.add_column(heading, justify="right" if heading else "left")
    ours = run["sides"].get("translora", {}).get("lines_per_second")
    for side, figures in run["sides"].items():
        speeds = [one["lines_per_second"] for one in figures["rounds"]]
        table.add_row(
            SIDES[side],
            f"{figures['lines_per_second']:.2f} ({min(speeds):.2f} to {max(speeds):.2f})",
            f"{figures['peak_memory_bytes'] / 2**30:.2f} GiB",
            f"{figures['share_of_matrix_rate']:.0%}",
            f"{ours / figures['lines_per_second']:.1f} x" if ours and side != "translora" else "",
        )
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
