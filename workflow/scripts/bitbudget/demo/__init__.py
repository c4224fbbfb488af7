"""What the project makes itself, so that every study runs without a network: scenes and the demo model."""
