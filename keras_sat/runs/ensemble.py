"""Several runs that caption together."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_sat.config import Experiment
from keras_sat.runs.run import Facts, Run, open_run
from keras_sat.utils.errors import UserError


@dataclass(frozen=True)
class RunEnsemble:
    """Runs with one vocabulary and one CNN, whose word distributions are averaged.

    Attributes:
        folder: `first+second`, beside the first run's; its evaluation is written there.
        experiment: the first run's, whose decoding settings count.
        facts: the `Facts` that the runs share; inputs are those of all of them.
        members: the `Run`s.
        trust_encoder: as for a `Run`.
    """

    folder: Path
    experiment: Experiment
    facts: Facts
    members: tuple[Run, ...]
    trust_encoder: bool = False

    def trusting(self):
        """As `Run.trusting`."""
        members = tuple(run.trusting() for run in self.members)
        return replace(self, members=members, trust_encoder=True)

    def data(self, folder=None):
        """As `Run.data`; the default is the data set of the run that reads the most inputs."""
        most = max(self.members, key=lambda run: len(run.facts.inputs))
        data = [run.data(folder or most.experiment.data.path) for run in self.members]
        return data[0]

    def curve(self):
        """No lines, since an ensemble is not trained."""
        return []


def open_runs(folders):
    """Opens a run, or several as an ensemble.

    Args:
        folders: of the runs.

    Returns:
        A `Run` or a `RunEnsemble`.

    Raises:
        UserError: as `open_run`; runs with different vocabularies, encoders or proposals.
    """
    runs = tuple(open_run(folder) for folder in folders)
    if len(runs) == 1:
        return runs[0]
    inputs = {}
    for run in runs:
        inputs |= run.facts.inputs
    first = runs[0].facts
    facts = Facts(
        inputs=inputs,
        vocabulary=_shared("vocabulary", runs),
        vocabulary_size=first.vocabulary_size,
        proposals=_shared("proposals", runs),
        encoder=_shared("encoder", runs),
        data=first.data,
    )
    folder = Path(runs[0].folder).parent / "+".join(run.folder.name for run in runs)
    return RunEnsemble(folder, runs[0].experiment, facts, runs)


def _shared(key, runs) -> Any:
    """The fact that all runs share; None matches any value."""
    shared = None
    for run in runs:
        value = getattr(run.facts, key)
        if shared is None:
            shared = value
        elif value is not None and value != shared:
            raise UserError(
                f"{run.folder}: its {key} ({value}) is not that of {runs[0].folder} ({shared}); "
                "an ensemble needs runs on one prepared data set"
            )
    return shared
