"""`ReproduceExplorer`: what the paper claimed of the bandit, what comes out, and how sure that is."""

import threading
from typing import Any

from bandit.explore.explorer import Explorer
from bandit.explore.reproduce_model import ReproduceModel, read_ahead
from bandit.explore.reproduce_scene import ReproduceScene


class ReproduceExplorer(Explorer):
    """Stored results of `modeseek reproduce`, figure by figure: `ReproduceExplorer(preset="fig16")`.

    Once its widgets are shown, a thread reads the other targets' files, so that switching to one finds them read.
    """

    Model = ReproduceModel
    Scene = ReproduceScene

    @property
    def widget(self) -> Any:
        """As `Explorer.widget`."""
        first = self._shell is None
        box = super().widget
        if first:
            threading.Thread(target=read_ahead, name="read-ahead", daemon=True).start()
        return box
