"""From files and data sets to sentence pairs: one module a format."""
