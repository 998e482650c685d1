"""Training language models: a step on all parameters or on adapters, SFT, and Algorithm 1 with any method."""
