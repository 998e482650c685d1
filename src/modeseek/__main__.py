"""`python -m modeseek`: the same as the `modeseek` command."""

from modeseek.cli import main

main()
