"""The phase diagram that comes with the package, as a notebook shows it: a picture, and its table in words."""

import io

import numpy as np
import xarray
from PIL import Image

from modeseek.bandit.explore.toolkit.canvas import DPI, encode_small
from modeseek.bandit.explore.toolkit.display import Displayed, Still, figure
from modeseek.bandit.studies.phase_diagram.draw import draw_phase, summary
from modeseek.bandit.studies.phase_diagram.stored import STORED, open_phase


class WholeMap(Displayed):
    """Winner maps of every slice: what `modeseek phase --stored` draws."""

    def __init__(self, diagram: xarray.Dataset | None = None) -> None:
        """Show a diagram; without one, the stored one.

        Raises:
            ValueError: no diagram comes with this version.
        """
        super().__init__()
        self.diagram = open_phase(STORED) if diagram is None else diagram

    def __repr__(self) -> str:
        """The table, which a screen reader can read too."""
        return summary(self.diagram)

    def still(self) -> Still:
        """The picture; its alt text is the table."""
        held = io.BytesIO()
        draw_phase(self.diagram).savefig(held, format="png", dpi=DPI)
        table = repr(self)
        return Still(figure(encode_small(np.asarray(Image.open(held).convert("RGB"))), table), table)
