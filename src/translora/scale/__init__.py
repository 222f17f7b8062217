"""Work on many machines: corpora and translations in shards, on a cluster of Ray."""
