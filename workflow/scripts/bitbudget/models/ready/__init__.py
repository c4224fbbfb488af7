"""Ready checkpoints: made by somebody else, loaded by transformers, and told for what they hold."""
