"""Vision-language and language models, run by transformers."""
