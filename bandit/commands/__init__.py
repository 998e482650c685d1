"""The subcommands of `modeseek`: each parses into a dataclass, calls the library, and prints."""
