"""The human spot-check: a few items whose answers people rate without knowing which precision gave them.

`make_spot_check` makes cards (`cards`), one for every distinct answer to a chosen item, and puts them with their images
(`pictures`) on one self-contained page (`page`). People rate there, save files (`folder`, `ratings`), and
`read_ratings` joins these with the precisions and holds them against the metric (`human`, `agreement`).
"""
