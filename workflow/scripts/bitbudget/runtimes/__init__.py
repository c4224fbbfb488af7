"""Runtimes: what computes answers, and predicting in shards that survive a crash."""
