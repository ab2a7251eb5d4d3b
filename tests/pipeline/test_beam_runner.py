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


def test_a_worker_that_is_killed_ends_the_job():
    """As the system kills the one that takes the most memory. Beam would wait for ever."""
    before = threading.excepthook

    def build(pipeline):
        _ = pipeline | beam.Create([0]) | beam.Map(die)

    with pytest.raises(UserError, match=r"exit code 137; .*direct_num_workers=1"):
        run_job(build, beam_options(PROCESSES), "dying")
    assert threading.excepthook is before
