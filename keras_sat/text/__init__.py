"""Captions as words and as ids."""
