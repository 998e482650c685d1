"""One training step of a language model, of all its parameters or of adapters."""
