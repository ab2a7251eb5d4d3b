"""Errors, files, progress bars, versions, extras. Imports nothing else of keras_sat."""
