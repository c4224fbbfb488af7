"""How the demo models were trained. Nothing that the rules of a study run imports it."""
