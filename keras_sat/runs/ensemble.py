"""Several runs that caption together, and the arguments with which commands name runs and change how they caption."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from keras_sat import config as configuration
from keras_sat.runs.run import Run, open_run
from keras_sat.utils.errors import UserError


@dataclass(frozen=True)
class RunEnsemble(Run):
    """Runs of one vocabulary and one CNN, whose word distributions are averaged; settings are the first one's.

    Its folder, `first+second`, lies beside the first run's.
    """

    runs: tuple

    @property
    def members(self):
        return self.runs

    def curve(self):
        """No lines: an ensemble is not trained."""
        return []

    def vocabulary(self):
        return self.runs[0].vocabulary()

    def data(self, folder=None):
        """As `Run.data`; the default is the data set of the run that reads the most."""
        most = max(self.runs, key=lambda run: len(run.facts["inputs"]))
        data, *_ = [run.data(folder or most.experiment.data.path) for run in self.runs]
        return data

    def load_model(self, which="best"):
        from keras_sat.models.ensemble import Ensemble

        return Ensemble(run.load_model(which) for run in self.runs)

    @property
    def encoder(self):
        return self.runs[0].encoder


def open_runs(folders):
    """Opens a run, or several as an ensemble.

    Raises:
        UserError: as `open_run`; runs with different vocabularies, encoders or proposals.
    """
    runs = tuple(map(open_run, folders))
    if len(runs) == 1:
        return runs[0]
    facts = {}
    for run in runs:
        for key in ("vocabulary", "encoder", "proposals"):
            if (
                run.facts[key] is not None
                and facts.setdefault(key, run.facts[key]) != run.facts[key]
            ):
                raise UserError(
                    f"{run.folder}: its {key} ({run.facts[key]}) is not that of {runs[0].folder} ({facts[key]}); "
                    "an ensemble needs runs on one prepared data set"
                )
    inputs = {name: shape for run in runs for name, shape in run.facts["inputs"].items()}
    folder = Path(runs[0].folder).parent / "+".join(run.folder.name for run in runs)
    return RunEnsemble(
        folder, runs[0].experiment, {"proposals": None, **facts, "inputs": inputs}, runs
    )


def add_arguments(parser, several, required=True):
    """Adds --run, --beam and --set; `several`: what it means to name several runs. `required`: there must be a run."""
    runs = {"action": "append", "default": [], "metavar": "DIR", "required": required}
    parser.add_argument("--run", **runs, help=f"a trained run; {several}")
    add_decoding(parser)


def add_decoding(parser):
    """Adds --beam and --set, of which `with_arguments` makes settings of decoding."""
    parser.add_argument("--beam", type=int, metavar="K", help="hypotheses an image (1: greedy)")
    setting = {"action": "append", "default": [], "metavar": "KEY=VALUE"}
    parser.add_argument("--set", **setting, help="such as decoding.length_penalty=0.7")


def with_arguments(run, args):
    """The run with the decoding settings of the arguments."""
    beam = [("decoding.beam", args.beam)] if args.beam is not None else []
    return dataclasses.replace(
        run, experiment=configuration.with_decoding(run.experiment, args.set + beam)
    )
