"""GPT-NeoX, Mistral, Llama, Qwen2 and Qwen3 as pure functions of a parameter pytree."""
