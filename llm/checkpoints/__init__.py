"""Weights from and to Hugging Face folders: safetensors alone, one tensor at a time."""
