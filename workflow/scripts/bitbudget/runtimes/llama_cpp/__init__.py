"""Language models by llama.cpp, beside whatever torch runs of a model."""
