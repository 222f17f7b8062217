"""Load models, put adapters in and out, check them before compute is spent."""
