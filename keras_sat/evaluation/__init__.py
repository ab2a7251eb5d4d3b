"""Scores of generated captions, and of where the captioner looked."""
