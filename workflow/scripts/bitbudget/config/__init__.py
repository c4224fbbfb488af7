"""From the files in config/ to resolved studies, at parse time: nothing here imports torch, numpy or pandas."""
