"""A fast T5: the arithmetic of transformers' modules, over real tokens only."""
