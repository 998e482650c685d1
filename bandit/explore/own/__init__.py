"""What notebook 11 asks of a reward and a method of one's own; it has no explorer but the bandit's."""
