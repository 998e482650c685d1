"""modeseek's simulator: preference fine-tuning on a bandit small enough to see whole."""

__version__ = "0.1.0"
