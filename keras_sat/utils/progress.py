"""The progress bar of all long work, with a rate and an estimate of the remaining time."""

import sys

from tqdm import tqdm


def progress_bar(iterable=None, **kwargs):
    """A tqdm bar. Where the output is a file, it writes one line every 30 seconds."""
    seconds = 0.2 if sys.stderr.isatty() else 30
    return tqdm(iterable, mininterval=seconds, dynamic_ncols=True, **kwargs)


def print_beside_bars(text, file):
    """Prints a line at once, without breaking a bar that is being drawn on standard error."""
    if file is sys.stderr or sys.stderr.isatty():
        tqdm.write(text, file=file)
    else:
        print(text, file=file)
    file.flush()
