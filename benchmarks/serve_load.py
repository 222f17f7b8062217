"""A server under load: `translora serve` against plain servers around `generate` and CTranslate2, in one run.

    python benchmarks/serve_load.py --adapter runs/demo/adapter                 64 clients, 60 seconds a side
    python benchmarks/serve_load.py --adapter runs/demo/adapter --seconds 20 --json figures.json
    python benchmarks/serve_load.py --adapter runs/demo/adapter --sides translora --overload   ten times the clients

With --overload the queue is as long as the number of clients, and a request waits a second for a place in it; then ten
times as many clients ask, four times over, and then as many as before. Refusals by 429 that say `Retry-After` are
counted apart; without it they are errors.

Each client sends one line of the embedded test set at a time, for one of eight adapters at random; the plain servers
have one adapter, merged. "one client" is translora with a single client, and "translate" is the rate of the Python
object on 256 lines in one call. Clients are plain sockets: an HTTP library would take as much of the cores as the
translating. "cpu" is the processor time of the server for a line, which a busy machine changes less than the rate.
LibreTranslate's own server is no side: its models cannot be had here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from translora import Translator
from translora.config import SourceConfig
from translora.data.readers.sources import read

SIDES = {
    "translora": "translora serve",
    "one_client": "translora serve, one client",
    "generate": "FastAPI + generate",
    "ctranslate2": "FastAPI + CTranslate2, float32",
}
_WAIT = 180.0
"""Seconds for a server to load."""
_RETRY = 0.2
"""A client that is refused asks again after so many seconds, sooner than it was told."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", type=Path, required=True, help="the folder of an adapter")
    parser.add_argument("--adapters", type=int, default=8, help="how many of it translora serves")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument(
        "--overload",
        action="store_true",
        help="then ten times the clients: the memory",
    )
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    lines = [pair.source for pair in read(SourceConfig(path="mini", split="test"), "de", "en")]
    figures: dict[str, Any] = {side: _side(side, options, lines) for side in options.sides}
    figures["translate"] = _offline(options, lines[:256])
    _show(figures, options)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _offline(options: Any, lines: list[str]) -> dict[str, float]:
    """The rate of the Python object, all lines in one call."""
    translator = Translator.from_pretrained(options.adapter)
    translator.translate(lines[:8], beams=options.beams)
    started, used = time.perf_counter(), time.process_time()
    translator.translate(lines, beams=options.beams)
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    return {"lines_per_second": len(lines) / seconds, "cpu_seconds_per_line": cpu / len(lines)}


def _side(side: str, options: Any, lines: list[str]) -> dict[str, Any]:
    names = [f"a{number}" for number in range(options.adapters)]
    with _server(side, options, names) as (url, process):
        clients = 1 if side == "one_client" else options.clients
        server = psutil.Process(process.pid)
        before = sum(server.cpu_times()[:2])
        found = asyncio.run(_load(url, clients, options, lines, names))
        cpu = (sum(server.cpu_times()[:2]) - before) / max(1, found["requests"])
        found |= {"cpu_seconds_per_line": cpu, "memory_bytes": server.memory_info().rss, "clients": clients}
        print(f"{side}: {found['lines_per_second']:.1f} lines/s", file=sys.stderr)
        if options.overload and side == "translora":
            found["then"] = []
            for times in (10, 10, 10, 10, 1):
                again = asyncio.run(_load(url, times * clients, options, lines, names))
                metrics = httpx.get(f"{url}/metrics").text
                waiting = re.search(r"^translora_queue_lines (\S+)", metrics, re.MULTILINE)
                again |= {"queue_lines": float(waiting[1]) if waiting else -1.0, "clients": times * clients}
                found["then"].append({**again, "memory_bytes": server.memory_info().rss})
    return found


@contextmanager
def _server(side: str, options: Any, names: list[str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server that answers, in a process of its own."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        if side in ("translora", "one_client"):
            served = [f"{name}={options.adapter}" for name in names]
            command = [sys.executable, "-m", "translora", "serve", *served, "--no-access-log", f"--port={port}"]
            if options.overload:
                command += [f"--max-queue-lines={options.clients}", "--queue-seconds=1"]
        else:
            script = str(Path(__file__).with_name("serve_side.py"))
            command = [sys.executable, script, side, str(options.adapter), str(port), folder]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            _wait_for(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.terminate()
            process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    started = time.monotonic()
    while time.monotonic() - started < _WAIT:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}")
        try:
            httpx.get(f"{url}/health")
            return
        except httpx.TransportError:
            time.sleep(0.2)
    raise SystemExit("the server does not answer")


async def _load(url: str, clients: int, options: Any, lines: list[str], names: list[str]) -> dict[str, Any]:
    """The figures of `clients` that ask one line after the other."""
    took: list[float] = []
    health: list[float] = []
    errors = refused = 0
    end = time.perf_counter() + options.seconds

    async def ask(number: int) -> None:
        nonlocal errors, refused
        draw, client = random.Random(number), await _Client.connected(url)
        while time.perf_counter() < end:
            asked = {"texts": [draw.choice(lines)], "adapter": draw.choice(names), "beams": options.beams}
            started = time.perf_counter()
            status, retry_after = await client.status("POST", "/v1/translate", json.dumps(asked).encode())
            if status == 429 and retry_after:
                refused += 1
                await asyncio.sleep(_RETRY)
                continue
            took.append(time.perf_counter() - started)
            errors += status != 200
        client.close()

    async def look() -> None:
        client = await _Client.connected(url)
        while time.perf_counter() < end:
            started = time.perf_counter()
            await client.status("GET", "/health")
            health.append(time.perf_counter() - started)
            await asyncio.sleep(0.25)
        client.close()

    started = time.perf_counter()
    await asyncio.gather(look(), *map(ask, range(clients)))
    seconds = time.perf_counter() - started
    p50, p95, p99 = (float(np.percentile(took, share)) for share in (50, 95, 99))
    return {
        "lines_per_second": len(took) / seconds, "requests": len(took), "errors": errors, "refused": refused,
        "p50_seconds": p50, "p95_seconds": p95, "p99_seconds": p99, "health_most_seconds": max(health),
        "health_p50_seconds": float(np.median(health)), "health_p99_seconds": float(np.percentile(health, 99)),
    }  # fmt: skip


class _Client:
    """A connection that stays open, and asks one thing after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connected(cls, url: str) -> _Client:
        """A client of the server at `url`."""
        address = urlsplit(url)
        return cls(*await asyncio.open_connection(address.hostname, address.port))

    async def status(self, method: str, path: str, body: bytes = b"") -> tuple[int, bool]:
        """The status of an answer, which is read to its end, and whether it says `Retry-After`."""
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        self._writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", answer.lower())
        await self._reader.readexactly(int(length[1]) if length else 0)
        return int(answer.split(b" ", 2)[1]), b"\r\nretry-after:" in answer.lower()

    def close(self) -> None:
        """End the connection."""
        self._writer.close()


def _show(figures: dict[str, Any], options: Any) -> None:
    table = Table(title=f"{options.clients} clients, {options.adapters} adapters, beams {options.beams}")
    for heading in ("", "lines/s", "p50", "p95", "p99", "/health at most", "memory", "cpu", "errors"):
        table.add_column(heading, justify="right" if heading else "left")
    for side, words in SIDES.items():
        if side in figures:
            one = figures[side]
            times = [
                f"{1000 * one[name]:.0f} ms"
                for name in ("p50_seconds", "p95_seconds", "p99_seconds", "health_most_seconds")
            ]
            cpu = f"{1000 * one['cpu_seconds_per_line']:.1f} ms"
            row = f"{one['lines_per_second']:.1f}", *times, _gib(one), cpu, str(one["errors"])
            table.add_row(words, *row)
            for then in one.get("then", ()):
                rate, health = f"{then['lines_per_second']:.1f}", f"{1000 * then['health_most_seconds']:.0f} ms"
                words = f"... then {then['clients']} clients, {then['refused']} times 429"
                table.add_row(words, rate, "", "", "", health, _gib(then), "", str(then["errors"]))
    offline = figures["translate"]
    cpu = f"{1000 * offline['cpu_seconds_per_line']:.1f} ms"
    table.add_row("translate, all lines in one call", f"{offline['lines_per_second']:.1f}", *[""] * 5, cpu)
    Console(width=140).print(table)


def _gib(figures: dict[str, Any]) -> str:
    return f"{figures['memory_bytes'] / 2**30:.2f} GiB"


if __name__ == "__main__":
    main()
