"""Models for other programs: merged for transformers, or converted for CTranslate2, each step held to the last."""
