"""The commands: each reads its arguments and makes one call into the package. Loads no torch before it must."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from translora import __version__
from translora.cli import compare, data, evaluate, export, report, serve, train, translate
from translora.cli.arguments import Parser
from translora.errors import ConfigError, OtherRankError, Terminated, TransloraError
from translora.io.launcher import place


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit: 0 done, 1 or 2 the user's mistake in one line, 130 or 143 interrupted."""
    _prepare_environment()
    signal.signal(signal.SIGTERM, _terminate)
    try:
        parsed, flags = _parser().parse_known_args(arguments)
        if flags and not parsed.takes_flags:
            raise ConfigError(f"unknown argument {flags[0]}: see {parsed.prog} --help")
        if parsed.name not in ("train", "demo") and place().size > 1:
            raise ConfigError(f"{parsed.prog}: only translora train runs on several ranks: start it without torchrun")
        parsed.run(parsed, flags)
    except OtherRankError as error:
        sys.exit(error.exit_code)
    except TransloraError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt as interruption:
        _complain("interrupted")
        sys.exit(128 + (signal.SIGTERM if isinstance(interruption, Terminated) else signal.SIGINT))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    sys.exit(0)


def _prepare_environment() -> None:
    """Quiet libraries that would speak between our lines, and have idle threads sleep soon.

    GNU OpenMP's threads spin while they wait for each other: where another program takes a core, the one that spins
    keeps the one that works from its own.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def _terminate(*_: object) -> NoReturn:
    raise Terminated


def _complain(message: str) -> None:
    """Say it on standard error, with the name of a rank that is not the first."""
    with suppress(ConfigError):
        here = place()
        if here.rank:
            message = f"{here.name}: {message}"
    print(f"translora: {message}", file=sys.stderr)


def _parser() -> Parser:
    parser = Parser(
        prog="translora",
        description="Teach a T5-family model to translate your own texts, with LoRA, and know whether it worked.",
    )
    parser.add_argument("--version", action="version", version=f"translora {__version__}")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")
    train.add_demo(commands)
    train.add_train(commands)
    for module in (compare, evaluate, report, translate, export, serve, data):
        module.add(commands)
    return parser
