"""Trained runs on disk, and what is loaded from them."""
