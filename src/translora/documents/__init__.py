"""Documents: segments out, translations back in, and everything else as it was."""
