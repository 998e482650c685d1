"""Figures: each draws stored results in one visual grammar, and computes nothing."""
