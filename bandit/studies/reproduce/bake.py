"""The intervals of what is stored, for `studies/known.py`: `python -m modeseek.bandit.studies.reproduce.bake`.

To be run when cells or claims were added, as a test then says: some ten seconds.
"""

from collections.abc import Iterator

from modeseek.bandit.studies import known
from modeseek.bandit.studies.assess import Assessment
from modeseek.bandit.studies.reproduce.store import STORE
from modeseek.bandit.studies.reproduce.targets import STUDY
from modeseek.bandit.studies.store import cell_path


def judged() -> Iterator[list[Assessment]]:
    """Every target under every reading, on the cells that are stored of each protocol."""
    for target in STUDY.targets:
        for conventions in STUDY.conditions_of(target):
            for protocol in target.fullest_first():
                folder = STORE.folder(protocol, conventions)
                there = [cell for cell in target.cells_under(protocol) if cell_path(folder, cell).exists()]
                yield STUDY.assess(target, {cell: STORE.read(cell, protocol, conventions, folder) for cell in there})


if __name__ == "__main__":
    known.forget()
    for _ in judged():
        pass
    known.write(known.ASKED)
