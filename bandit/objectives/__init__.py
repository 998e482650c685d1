"""Objectives of preference fine-tuning as pure functions of arrays, for the bandit and the language models alike."""
