"""Teach a T5-family model to translate your own texts, with LoRA, and know whether it worked."""

__version__ = "0.1.0"
