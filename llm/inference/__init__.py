"""From prompts to responses and their numbers: tokenizers, padding, generation, scoring, one model as one object."""
