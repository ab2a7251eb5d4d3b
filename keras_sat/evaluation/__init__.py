"""Scores of generated captions and of their attention."""
