"""What is said of all data sets that the project draws or writes itself."""

LIMITS = {"": "The generated data are nobody's real task."}
