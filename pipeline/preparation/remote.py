"""Beam jobs on other machines: their runner, and what makes them different from local ones.

Workers there share no working directory with this process, and what they raise comes back as text.
"""

import dataclasses
import os
import re

import grpc
from apache_beam.options.pipeline_options import PortableOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import create_runner

from keras_sat.utils.errors import UserError, nearest

_PATIENCE = 30  # seconds to wait for the job service to answer
_EMBEDDED = "embed"  # a job service inside this process
_RUNNERS = ("FlinkRunner", "SparkRunner", "DataflowRunner", "PortableRunner", "DirectRunner")
# The last line of a traceback, such as `tensorflow.….NotFoundError: data/x: No such file`.
_EXCEPTION = re.compile(r"^(?:RuntimeError: )?(?:\w+\.)*\w*(?:Error|Exception)\b.*$", re.MULTILINE)
_LONGEST = 400  # characters of a worker's line that are shown


def is_elsewhere(options):
    """Whether the job runs on the workers of a runner that the user named."""
    return bool(options.view_as(StandardOptions).runner)


def runner_of(options):
    """The Beam runner that options ask for; without `--runner` the one in this process.

    That one is named, because Beam's default may choose Prism, which it downloads.

    Raises:
        UserError: there is no such runner, or its job service does not answer.
    """
    if not is_elsewhere(options):
        return FnApiRunner()
    name = options.view_as(StandardOptions).runner
    _check_endpoint(options.view_as(PortableOptions).job_endpoint)
    try:
        return create_runner(name)
    except (ValueError, ImportError, AttributeError) as error:
        raise UserError(f"--runner={name}: no such runner{nearest(name, _RUNNERS)}") from error


def _check_endpoint(endpoint):
    """Checks that a job service answers. Beam itself would wait for minutes.

    Raises:
        UserError: it does not.
    """
    if not endpoint or endpoint == _EMBEDDED:
        return
    with grpc.insecure_channel(endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_PATIENCE)
        except grpc.FutureTimeoutError as error:
            raise UserError(
                f"--job_endpoint={endpoint}: no job service answers there "
                f"(waited for {_PATIENCE} s); start it, or name another one"
            ) from error


def with_absolute_paths(config, options):
    """The settings of a preparation as workers in other working directories need them.

    Args:
        config: a `keras_sat.config.Prepare`.
        options: Beam's options. Without a `--runner` nothing changes.
    """
    if not is_elsewhere(options):
        return config
    proposals = dataclasses.replace(config.proposals, file=_absolute(config.proposals.file))
    return dataclasses.replace(
        config,
        source=_absolute(config.source),
        images=_absolute(config.images),
        proposals=proposals,
    )


def _absolute(path):
    """The absolute path of a local file or folder; anything else, such as a URL, as it is."""
    return os.path.abspath(path) if path and os.path.exists(path) else path


def worker_line(error):
    """What a worker raised, in one line, or None if the error is not a worker's.

    Args:
        error: what a portable runner raised. Its text is the worker's traceback.
    """
    found = _EXCEPTION.findall(str(error))
    if "Traceback" not in str(error) or not found:
        return None
    return "a worker ended with " + found[-1].removeprefix("RuntimeError: ")[:_LONGEST]
