"""`modeseek llm …`: typed, documented, and quick to import; models and transformers are imported when they run."""
