"""Model families: where the parts of a model are, how it is loaded, and the form in which it is asked.

A family is a module with these names, importable without torch or transformers:

`MODEL_TYPES`     the values of `model_type` in config.json that it takes
`TRACKS`          the tracks that it can run
`GROUPS`          the module groups, as paths in the model that transformers builds (see `bitbudget.groups`)
`VISION_MODULES`  the topmost modules whose forward pass is the vision encoding: the tower and the projector
`UNAVAILABLE`     None, or the sentence that says why the family cannot be run and what can be used instead
`conversation`    the messages for the processor's chat template (see `bitbudget.families.chat`)
`model_class`     the transformers class whose `from_pretrained` reads the checkpoint

A family that is not available has neither of the two functions. A family of text alone has no `conversation`, since a
passage goes to the model as it is (see `bitbudget.last_word`), and its `VISION_MODULES` are empty.
"""
