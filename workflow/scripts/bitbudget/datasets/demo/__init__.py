"""What the demo data sets are generated from: scenes of shapes, questions, signs to read, and passages."""
