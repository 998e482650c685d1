"""Whole experiments on language models: stages that follow one another in a folder."""
