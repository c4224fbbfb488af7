"""How a model that sees is asked: the prompt around a question, its images' places, and how many tokens they take."""
