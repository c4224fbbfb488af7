"""Items: what a model is asked, which of it a study takes, the pictures and worked examples that go with it."""
