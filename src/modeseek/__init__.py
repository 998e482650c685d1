"""See and measure how preference fine-tuning works."""

__version__ = "0.1.0"
