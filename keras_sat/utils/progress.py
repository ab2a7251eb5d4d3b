"""The progress bar of all long work: with a rate and an estimate, and few lines where the output is a file."""

import sys

from tqdm import tqdm


def progress_bar(iterable=None, **kwargs):
    """A tqdm bar; in a log file it writes a line every 30 seconds instead of ten a second."""
    return tqdm(
        iterable, mininterval=0.2 if sys.stderr.isatty() else 30, dynamic_ncols=True, **kwargs
    )
