"""From batches to a trained model: optimiser, loop, checkpoints, progress."""
