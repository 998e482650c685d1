"""The bandit simulator: problem, policy, Algorithm 1, sweeps and their results."""
