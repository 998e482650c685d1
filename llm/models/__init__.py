"""GPT-NeoX, Mistral and Llama as pure functions of a parameter pytree."""
