"""The audit: what a checkpoint really holds, against what was asked for and what its formats promise."""
