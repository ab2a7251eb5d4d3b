"""Errors, files, progress bars and versions. Imports nothing else of keras_sat."""
