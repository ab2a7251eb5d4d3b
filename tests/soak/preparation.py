"""A preparation that is killed again and again ends with the same files."""

import random
import signal
import time

from pipeline.preparation.prepare import prepare
from tests.soak.children import STARTING, Child
from tests.support.corpora import digests
from tests.support.settings import small_prepare


def prepared(folder, log):
    """Prepares a small data set. Returns: the seconds that it took."""
    begun = time.monotonic()
    child = _start(folder, log)
    assert child.wait() == 0, log.read_text()[-2000:]
    return time.monotonic() - begun


def _start(folder, log):
    settings = small_prepare(source="train=12,val=4", mirror=True, chunk_images=2)
    return Child(lambda: prepare(settings, folder), log)


def case(folder, kills, seed):
    """Kills preparations at random moments; the result is that of `training.case`."""
    log = folder / "log"
    alone = folder / "undisturbed"
    seconds = prepared(alone, log)
    draws = random.Random(seed)
    tried = 0
    runs = 0
    lost = []
    while tried < kills:
        output = folder / f"killed-{runs}"
        status = None
        while status != 0:
            child = _start(output, log)
            if tried < kills:
                child.signal(signal.SIGKILL, STARTING, draws.random() * seconds)
            status = child.wait()
            tried += status != 0
            assert status in (0, -signal.SIGKILL), log.read_text()[-2000:]
        runs += 1
        if digests(output) != digests(alone):
            lost.append(output.name)
        lost += [path.name for path in folder.glob(f".{output.name}.partial")]
    return {"tried": tried, "runs": runs, "lost": lost}
