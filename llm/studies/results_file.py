"""The results file of a single run, beside its lines."""

from collections.abc import Mapping
from typing import Any

from modeseek.bandit.simulator.results import save
from modeseek.llm.studies.curves import run_dataset
from modeseek.llm.training.run_folder import RunFolder, read_metrics
from modeseek.llm.training.tune_config import TuneConfig
from modeseek.machine import names_of

RESULTS = "results.nc"


class ResultsFile:
    """`results.nc` in a run's folder, made of its lines whenever the run ends, or is stopped or fails; a context.

        with RunFolder(…) as run, ResultsFile(run, config, identity, "min_length of words"):
            …

    It appears in one step. Of a run that goes on later it is made anew.

    Args:
        run: whose lines are read.
        config: the run's knobs.
        identity: all that makes it another run than others.
        reward: what the gold reward is, in words.
    """

    def __init__(self, run: RunFolder, config: TuneConfig, identity: Mapping[str, Any], reward: str) -> None:
        self._run, self._config, self._identity, self._reward = run, config, identity, reward

    def __enter__(self) -> "ResultsFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write it; that it could not be written is told unless something else went wrong before.

        Raises:
            ValueError: there is no room, or no right to write.
        """
        records = read_metrics(self._run.folder) if self._run.writes else []
        if not records:
            return
        path, machines = self._run.folder / RESULTS, names_of(self._run.machines)
        try:
            save(run_dataset(records, self._config, self._identity, self._reward, machines), path)
        except OSError as error:
            if kind is None:
                raise ValueError(f"{path} could not be written ({error}): is there room on the disk?") from error
