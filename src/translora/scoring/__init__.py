"""Scores by the standard of the field. Knows texts only, no model."""
