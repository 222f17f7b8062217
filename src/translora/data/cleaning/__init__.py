"""Pairs that would harm training: found and left out."""
