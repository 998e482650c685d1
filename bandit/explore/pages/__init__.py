"""Explorers without a kernel: the presets of each as one HTML page that needs no network (`modeseek pages`)."""
