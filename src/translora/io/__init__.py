"""Files, the terminal, signals and the network: what any program needs. Knows nothing of models or data."""
