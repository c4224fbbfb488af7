"""The figures of a study: one module a kind of figure, one for the style, one for what they show."""
