"""The library behind the rules: pure functions first, one module a concept."""
