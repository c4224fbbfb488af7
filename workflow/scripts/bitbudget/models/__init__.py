"""Models: where they come from, their parts, the formats that hold these, and checkpoints."""
