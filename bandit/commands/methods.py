"""`modeseek methods`: the table of methods."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Methods:
    """List every method: its side in the paper's Table 1, what it reads, and where it is from.

    `on_policy_` or `offline_` before a name takes it to the other side, wherever a command takes methods.
    """

    def run(self) -> int:
        """Print the table."""
        from modeseek.experiments import methods

        print(methods())
        return 0
