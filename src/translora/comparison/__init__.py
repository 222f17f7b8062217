"""Ways of training side by side, on equal terms: the variants, their runs, and the results."""
