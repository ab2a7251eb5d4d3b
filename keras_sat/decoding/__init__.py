"""Captions from a captioner: search, sampling, whole splits and files."""
