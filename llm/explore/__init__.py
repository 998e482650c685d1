"""What notebook 10 shows: recorded language models beside the bandit, and a small run of one's own.

Widgets, predictions and checks are those of `modeseek.bandit.explore.toolkit`.
"""
