"""Trained runs behind the page: exported, and served by processes of their own."""

import contextlib
import dataclasses
import tempfile
from pathlib import Path

from keras_sat.exporting.saved_model import export
from keras_sat.utils.errors import UserError
from serving.process import ServerProcess
from serving.web.captioners import Captioner


@contextlib.contextmanager
def served(runs, deadline):
    """Serves runs on free ports of this machine for as long as a `with` block lasts.

    Args:
        runs: `Run`s, with the decoding settings that they are to have.
        deadline: seconds for a request.

    Yields:
        One `Captioner` per run.

    Raises:
        UserError: as `export`; a server that does not start.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keras-sat-try-")))
        captioners = []
        for number, run in enumerate(runs):
            model = folder / str(number)
            export(run, model)
            try:
                process = stack.enter_context(ServerProcess(model))
            except ValueError as error:
                raise UserError(f"{run.folder}: {error}") from error
            options = {"server": process.address, "deadline": deadline}
            settings = dataclasses.asdict(run.experiment.decoding)
            captioners.append(Captioner(run.folder.name, options, settings))
        yield captioners
