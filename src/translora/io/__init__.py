"""Files, the terminal, signals and the network. Knows nothing of models or data."""
