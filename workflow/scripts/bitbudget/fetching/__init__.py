"""What comes from the network: downloads that go on where they stopped, and pins that hold what was fetched first."""
