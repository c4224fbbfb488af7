"""Model families: where the parts of a model are, how it is loaded, and the form in which it is asked.

A family is a module, importable without torch or transformers; `bitbudget.contracts.FAMILY` lists what it must say of
itself, and what it may. Module groups are explained in `bitbudget.models.groups`, a conversation in
`bitbudget.models.families.chat`.

A family of text alone has no `conversation`, since a passage goes to the model as it is (see
`bitbudget.runtimes.transformers.last_word`), and no group of its models sees. A family of detectors has no
`conversation` either: its models are exported to LiteRT (see `bitbudget.runtimes.litert.export`). Where their `SOURCE`
is not `transformers` they are files that a user has, and come without config.json.
"""
