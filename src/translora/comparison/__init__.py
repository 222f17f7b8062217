"""Ways of training side by side, on equal terms: what is compared, the runs, and what they show."""
