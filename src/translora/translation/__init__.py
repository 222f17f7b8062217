"""From a model and lines of text to translations."""
