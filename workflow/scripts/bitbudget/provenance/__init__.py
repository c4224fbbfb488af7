"""Where results come from: the graph of their rules, and whether a rerun gives the same."""
