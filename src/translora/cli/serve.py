"""`translora serve`: models behind the interfaces that translation clients speak."""

from __future__ import annotations

import argparse
from importlib.util import find_spec

from translora.cli.arguments import Commands, Parser, add_command, add_shortlist

_NEEDED = {"fastapi": "fastapi", "uvicorn": "uvicorn", "python_multipart": "python-multipart",
           "prometheus_client": "prometheus-client"}  # fmt: skip


def add(commands: Commands[Parser]) -> None:
    """`serve`."""
    parser = add_command(
        commands, "serve", run, "serve models to programs that speak LibreTranslate, DeepL or OPUS-CAT"
    )
    what = "run folders, adapters, exports, model folders, hub names, or mini; NAME=PATH gives one a name"
    parser.add_argument("models", nargs="+", metavar="RUN", help=what)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=5000, help="the port; 0 takes any free one (default: 5000)")
    parser.add_argument("--source", default="", help="source language of models that do not state theirs")
    parser.add_argument("--target", default="", help="target language of models that do not state theirs")
    parser.add_argument("--device", default="", help="auto, cpu or cuda (default: the run's)")
    parser.add_argument("--beams", type=int, default=0, help="beam size (default: each run's)")
    add_shortlist(parser, "each run's")
    parser.add_argument("--api-keys", default="", metavar="FILE", help="who may use it: SHA-256 and rates of each key")
    parser.add_argument("--adapters-root", default="", metavar="DIR", help="adapters below it can be added by clients")
    parser.add_argument(
        "--glossaries", default="", metavar="DIR", help="keep glossaries of clients here, not in memory"
    )
    parser.add_argument("--cors", action="append", default=[], metavar="ORIGIN", help="a web page that may call it; *")
    parser.add_argument("--trusted-proxies", default="", metavar="IPS", help="proxies that name their clients")
    parser.add_argument("--no-access-log", action="store_true", help="log no requests on standard error")
    parser.add_argument("--drain-seconds", type=int, default=60, help="time to finish after SIGTERM (default: 60)")
    for name, kind, default, summary in (
        ("chars", int, 20_000, "characters of a request"),
        ("texts", int, 1_000, "texts of a request"),
        ("body-bytes", int, 2_000_000, "bytes of a request"),
        ("queue-lines", int, 4_096, "lines of all clients that wait"),
    ):
        parser.add_argument(f"--max-{name}", type=kind, default=default, help=f"most {summary} (default: {default:,})")
    parser.add_argument("--max-beams", type=int, default=10, help="largest beam size to ask for (default: 10)")
    parser.add_argument("--queue-seconds", type=float, default=15, help="wait for a place, then 429 (default: 15)")
    parser.add_argument("--request-seconds", type=float, default=300, help="time of a request (default: 300)")


def run(arguments: argparse.Namespace, flags: list[str]) -> None:
    """Load the models and serve them."""
    from pathlib import Path

    from translora.errors import ConfigError

    if missing := [package for module, package in _NEEDED.items() if find_spec(module) is None]:
        verb = "is" if len(missing) == 1 else "are"
        raise ConfigError(f'{", ".join(missing)} {verb} not installed: pip install "translora[serve]"')
    _check(arguments)

    from translora.serve.keys import ApiKeys
    from translora.serve.limits import Limits
    from translora.serve.models import Loading, Models
    from translora.serve.server import Address, Running, bind, serve
    from translora.serve.service import Settings

    limits = Limits(
        characters=arguments.max_chars,
        texts=arguments.max_texts,
        body_bytes=arguments.max_body_bytes,
        beams=arguments.max_beams,
        queue_lines=arguments.max_queue_lines,
        patience=arguments.queue_seconds,
        seconds=arguments.request_seconds,
    )
    keys = ApiKeys.read(Path(arguments.api_keys)) if arguments.api_keys else ApiKeys()
    root = Path(arguments.adapters_root) if arguments.adapters_root else None
    if root is not None and not root.is_dir():
        raise ConfigError(f"--adapters-root {root}: no such folder")
    glossaries = Path(arguments.glossaries) if arguments.glossaries else None
    if glossaries is not None and not glossaries.is_dir():
        raise ConfigError(f"--glossaries {glossaries}: no such folder")
    settings = Settings(limits, keys, arguments.beams, root, tuple(arguments.cors), glossaries)
    address = Address(arguments.host, arguments.port, arguments.trusted_proxies)
    listening = bind(address)
    try:
        models = Models(Loading(arguments.source, arguments.target, arguments.device, shortlist=arguments.shortlist))
        models.load_all(arguments.models)
        serve(models, settings, listening, address, Running(not arguments.no_access_log, arguments.drain_seconds))
    finally:
        listening.close()


def _check(arguments: argparse.Namespace) -> None:
    """Raise `ConfigError` for numbers that make no sense."""
    from translora.errors import ConfigError

    if not 0 <= arguments.port <= 65535:
        raise ConfigError(f"--port {arguments.port}: use 0 to 65535")
    if arguments.beams < 0 or arguments.beams > arguments.max_beams:
        raise ConfigError(f"--beams {arguments.beams}: use 1 to {arguments.max_beams}, which --max-beams raises")
    for name in ("max_chars", "max_texts", "max_body_bytes", "max_queue_lines", "max_beams", "request_seconds"):
        if getattr(arguments, name) <= 0:
            raise ConfigError(f"--{name.replace('_', '-')} {getattr(arguments, name)}: must be more than 0")
    for name in ("queue_seconds", "drain_seconds"):
        if getattr(arguments, name) < 0:
            raise ConfigError(f"--{name.replace('_', '-')} {getattr(arguments, name)}: must not be negative")
