"""What a policy does on held-out prompts."""
