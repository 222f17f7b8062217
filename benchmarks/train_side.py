"""One side of `train_throughput.py`, in a process of its own: prints one JSON object.

python benchmarks/train_side.py translora --lengths news --method lora --steps 8
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback
from workload import LONGEST, SHAPES, flan_t5, matrix_rate, step_flops, workload

from translora.config import LoraConfig, TrainingConfig
from translora.data.batching import Ints, epoch_batches, padding_share
from translora.data.tokens import TokenisedCorpus
from translora.models.budget import Budget
from translora.models.families import Family
from translora.models.hardware import choose_device, choose_dtype, keep_freed_memory, peak_memory_bytes
from translora.models.load import LoadedModel
from translora.models.lora import attach
from translora.models.loss import LossPath
from translora.training.optimizer import build_optimizer
from translora.training.step import Stepper

WARM_UP = 10 if torch.cuda.is_available() else 2
"""Steps that are not timed; a GPU loads each kernel at its first use."""
SIDES = {
    "transformers_peft": "(a) Seq2SeqTrainer + peft",
    "no_dropout": "(a) without dropout",
    "grouped": "(b) (a), grouped by length",
    "padded_128": "(c) (a), padded to 128",
    "translora": "(d) translora",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("--lengths", choices=("corpus", "news"), default="corpus")
    parser.add_argument("--method", choices=("lora", "full"), default="lora")
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--data", help="a file of token ids that another side has made already")
    parser.add_argument("--batch", type=int, default=16, help="pairs of a batch of the trainer")
    parser.add_argument("--batch-tokens", type=int, default=2048, help="translora's budget, padded tokens")
    options = parser.parse_args()
    data = workload(options.lengths, options.data)
    measure = _translora if options.side == "translora" else _trainer
    print(json.dumps(measure(options, data)))


def evenly(batches: list[Ints], size: Callable[[Ints], float], steps: int) -> list[Ints]:
    """`steps` of `batches`, spread evenly over their sizes so that few stand for all, in an order by seed."""
    ranked = sorted(batches, key=size)
    places = ((np.arange(steps) + 0.5) * len(ranked) / steps).astype(int)
    chosen = [ranked[i] for i in places]
    return [chosen[i] for i in np.random.default_rng(0).permutation(steps)]


def warm_up(batches: list[Ints], source: Ints, target: Ints) -> list[Ints]:
    """The largest batches of all, which are not timed but set the peak memory, as they would in a whole epoch."""
    sizes = [len(pairs) * int(source[pairs].max() + target[pairs].max()) for pairs in batches]
    return [batches[i] for i in np.argsort(sizes)[-WARM_UP:]]


def figures(
    options: Any, model: Any, data: TokenisedCorpus, batches: list[Ints], seconds: list[float], rates: list[float]
) -> dict[str, Any]:
    """What a side measured over `batches`, which took `seconds` each."""
    pairs = np.concatenate(batches)
    source, target = data.source_lengths, data.target_lengths
    total, rate = sum(seconds), float(np.median(rates))
    real, whole = int(source[pairs].sum() + target[pairs].sum()), 2 * LONGEST * len(pairs)
    flops = step_flops(model.config, source[pairs], target[pairs], options.method)
    return {
        "pairs_per_second": len(pairs) / total,
        "real_tokens_per_second": real / total,
        "peak_memory_bytes": peak_memory_bytes(model.device),
        "share_of_matrix_rate": flops / total / rate,
        "matrix_rate_flops": rate,
        "padding": padding_share(batches, source, target) if options.side != "padded_128" else 1 - real / whole,
        "steps": len(batches),
    }


def stepper_of(options: Any, data: TokenisedCorpus, fast: bool = True) -> Stepper:
    """The step of translora for a model of `options.shape`, by its own path or by that of transformers and PEFT."""
    device = choose_device("auto")
    family = Family("t5", lambda source, target: "")
    dtype = choose_dtype("auto", device)
    if device.type == "cpu":
        keep_freed_memory()
    model = flan_t5(options.shape, dropout=0.0, width=getattr(options, "width", None))
    if options.method == "lora":
        model = attach(model, LoraConfig(rank=8, targets="q,v"), "flan-t5", seed=1)
    model = model.to(device)
    training = TrainingConfig(batch_tokens=options.batch_tokens)
    path: LossPath = "fast" if fast else "own"
    translator = LoadedModel(model, None, family, "", "flan-t5", device, dtype, path)  # type: ignore[arg-type]
    return Stepper(translator, data, build_optimizer(model, training), training, 1, Budget(options.batch_tokens))


def _translora(options: Any, data: TokenisedCorpus) -> dict[str, Any]:
    """The step of translora on its own batches."""
    stepper = stepper_of(options, data)
    device, dtype = stepper.translator.device, stepper.translator.dtype
    source, target = data.source_lengths, data.target_lengths
    every = epoch_batches(source, target, options.batch_tokens, seed=1, epoch=0)
    batches = evenly(every, lambda pairs: float(source[pairs].sum() / len(pairs)), options.steps)
    seconds, rates = [], []
    for step, pairs in enumerate([*warm_up(every, source, target), *batches]):
        if step == WARM_UP:
            rates.append(matrix_rate(device, dtype))
        started = time.perf_counter()
        stepper.step(step, pairs)
        if step >= WARM_UP:
            seconds.append(time.perf_counter() - started)
    rates.append(matrix_rate(device, dtype))
    return figures(options, stepper.translator.model, data, batches, seconds, rates)


def _trainer(options: Any, data: TokenisedCorpus) -> dict[str, Any]:
    """`Seq2SeqTrainer` as its users write it."""
    import logging

    from peft import LoraConfig as PeftLoraConfig
    from peft import TaskType, get_peft_model

    logging.disable()
    model = flan_t5(options.shape, dropout=0.0 if options.side == "no_dropout" else 0.1)
    if options.method == "lora":
        settings = PeftLoraConfig(r=8, lora_alpha=16, target_modules=["q", "v"], task_type=TaskType.SEQ_2_SEQ_LM)
        model = get_peft_model(model, settings)
    batches = _trainer_batches(options, data)
    order = [int(i) for pairs in batches for i in pairs]
    rows = [
        {
            "input_ids": data.source_ids(i),
            "attention_mask": [1] * int(data.source_lengths[i]),
            "labels": data.target_ids(i),
        }
        for i in order
    ]
    whole = {"padding": "max_length", "max_length": LONGEST} if options.side == "padded_128" else {"padding": True}
    clock = _Clock()
    from transformers import AutoTokenizer

    from translora import mini

    with tempfile.TemporaryDirectory() as folder:
        trainer = Seq2SeqTrainer(
            model=model,
            args=Seq2SeqTrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=options.batch,
                num_train_epochs=1,
                learning_rate=1e-3,
                train_sampling_strategy="sequential",
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
                bf16=torch.cuda.is_available(),
            ),
            train_dataset=rows,
            data_collator=DataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(mini.MODEL), model=model, **whole),
            callbacks=[clock],
        )
        clock.device, clock.dtype = trainer.args.device, torch.bfloat16 if trainer.args.bf16 else torch.float32
        trainer.train()
    clock.rates.append(matrix_rate(clock.device, clock.dtype))
    return figures(options, model, data, batches[WARM_UP:], clock.seconds[WARM_UP:], clock.rates)


def _trainer_batches(options: Any, data: TokenisedCorpus) -> list[Ints]:
    """Warm-up and timed batches out of those that the trainer's own samplers make of all pairs."""
    from transformers.trainer_pt_utils import get_length_grouped_indices

    source = data.source_lengths
    torch.manual_seed(1)
    if options.side == "grouped":
        order = np.array(get_length_grouped_indices(source.tolist(), options.batch), dtype=np.int64)
    else:
        order = torch.randperm(len(source)).numpy()
    every = [order[i : i + options.batch] for i in range(0, len(order) - options.batch + 1, options.batch)]
    timed = evenly(every, lambda pairs: float(source[pairs].sum() / len(pairs)), options.steps)
    return [*warm_up(every, source, data.target_lengths), *timed]


class _Clock(TrainerCallback):
    """Seconds of each step, from its batch to its end."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.rates: list[float] = []
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self._started = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._started = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self._started)
        if len(self.seconds) == WARM_UP:
            self.rates.append(matrix_rate(self.device, self.dtype))
        self._started = time.perf_counter()


if __name__ == "__main__":
    main()
