"""Running Beam jobs."""

import os
import signal
import threading

import apache_beam as beam
import pytest

from keras_sat.utils.errors import UserError
from pipeline.preparation.beam_runner import beam_options, run_job

PROCESSES = ["--direct_running_mode=multi_processing", "--direct_num_workers=1"]


def die(element):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["foreground", "in &"])
def interrupts(request):
    """How the process takes SIGINT. A shell lets its background jobs ignore it."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def time_limit():
    """Without what is tested, Beam would wait for ever."""

    def fail(number, frame):
        raise AssertionError("the job does not end")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_a_worker_that_is_killed_ends_the_job(interrupts, time_limit):
    """As the system kills the one that takes the most memory."""
    before = threading.excepthook, signal.getsignal(signal.SIGUSR1)

    def build(pipeline):
        _ = pipeline | beam.Create([0]) | beam.Map(die)

    with pytest.raises(UserError, match=r"exit code 137; .*direct_num_workers=1"):
        run_job(build, beam_options(PROCESSES), "dying")
    assert (threading.excepthook, signal.getsignal(signal.SIGUSR1)) == before
