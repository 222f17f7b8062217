"""The device and the dtype to compute with. Asks the hardware, never trusts a flag."""

from __future__ import annotations

import ctypes
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import torch

from translora.errors import ConfigError
from translora.io.launcher import place, side_by_side

_CGROUP = Path("/sys/fs/cgroup")
_CGROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
"""A container's limit, its use, and its share of page cache: in version 2 of cgroups, and in version 1."""
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""No float16: T5's feed-forward overflows in it (transformers#10830)."""


def choose_device(wanted: str) -> torch.device:
    """The device named by `wanted`; `auto` takes CUDA, else Apple's GPU, else the CPU.

    Of several ranks on a machine, each has the GPU of its number. Raises `ConfigError` for a device that is not there.
    """
    if wanted == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return _of_this_rank(accelerator or torch.device("cpu"))
    try:
        device = torch.device(wanted)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {wanted!r} is not usable here ({reason}): use cpu or auto") from error
    return _of_this_rank(device)


def _of_this_rank(device: torch.device) -> torch.device:
    """`device`; raises `ConfigError` where several ranks cannot have one each."""
    here = place()
    if here.size == 1 or device.type == "cpu":
        return device
    if str(device) != "cuda":  # Apple's, or one by its number
        raise ConfigError(f"device {device}: {here.size} ranks cannot share it: use cuda, cpu or auto")
    if here.local_rank >= torch.cuda.device_count():
        raise ConfigError(
            f"{here.name}: {here.local_size} ranks on a machine with {torch.cuda.device_count()} GPUs: give torchrun "
            f"--nproc-per-node {torch.cuda.device_count()}, or use --device cpu"
        )
    return device


def computes_bfloat16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 matrices in hardware; emulation is 100 times slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu" and platform.machine().lower() in ("x86_64", "amd64"):
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """The compute dtype; `auto` is bfloat16 on a GPU that has it, else float32.

    Raises `ConfigError` for a dtype that the hardware lacks.
    """
    if wanted == "auto":
        return torch.bfloat16 if device.type == "cuda" and computes_bfloat16(device) else torch.float32
    if wanted == "bfloat16" and not computes_bfloat16(device):
        raise ConfigError(f"dtype bfloat16: this {device.type} does not compute it in hardware: use auto or float32")
    return _DTYPES[wanted]


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Matrix products in `dtype` where it is bfloat16; no change for float32 and wider."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype == torch.bfloat16)


def keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next tensor instead of handing it back to the kernel.

    By default every large tensor is mapped and unmapped anew, and its pages are faulted in one by one: on a CPU that
    was half of the time of a training step. A no-op without glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, mmap_max = -1, -4  # names of mallopt(3)
    libc = ctypes.CDLL(None)
    libc.mallopt(trim_threshold, -1)
    libc.mallopt(mmap_max, 0)


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory used so far: of the GPU where one is used, else of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status")
    if status.exists():  # Linux's getrusage begins with the peak of the process that started this one
        (kibibytes,) = re.findall(r"^VmHWM:\s+(\d+) kB", status.read_text(), flags=re.MULTILINE)
        return int(kibibytes) * 1024
    import resource

    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def used_memory_bytes(device: torch.device) -> int:
    """The memory in use now: this process's on the GPU where one is used, else its own."""
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    return int(psutil.Process().memory_info().rss)


def free_memory_bytes(device: torch.device) -> int:
    """The memory that this process could still take: on the GPU, or of the machine or its container.

    Ranks that compute on the CPU of one machine have equal parts of it, and so do runs side by side.
    """
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + cached
    return min([int(psutil.virtual_memory().available), *_free_in_containers()]) // (
        place().local_size * side_by_side()
    )


def _free_in_containers() -> Iterator[int]:
    """The memory that a container's limits leave. Files read lately count as used, but go where memory is wanted."""
    for limit_file, used_file, listing, name in _CGROUP_FILES:
        with suppress(OSError, ValueError):
            limit, used, listed = ((_CGROUP / file).read_text() for file in (limit_file, used_file, listing))
            cached = dict(line.split() for line in listed.splitlines())[name]
            if limit.strip() != "max":
                yield int(limit) - int(used) + int(cached)


def describe(device: torch.device) -> str:
    """The hardware in a few words, for reports."""
    ranks = f", {place().size} ranks" if place().size > 1 else ""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}{ranks}"
    threads = torch.get_num_threads()
    return f"{platform.machine()} {device.type}, {threads} thread{'s' if threads > 1 else ''}{ranks}"


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Restore the global random state of torch, on the CPU and on `device`, afterwards."""
    devices = [torch.cuda.current_device() if device.index is None else device.index] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
