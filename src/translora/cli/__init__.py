"""The command line: one module a command."""

from translora.cli.program import main

__all__ = ["main"]
