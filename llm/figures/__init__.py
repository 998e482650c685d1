"""Pictures of language models' data and runs, in the look of the bandit's (`modeseek.bandit.figures.style`)."""
