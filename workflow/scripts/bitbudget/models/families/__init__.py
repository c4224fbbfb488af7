"""Model families: where the parts of a model are, how it is loaded, and the form in which it is asked.

A family is a module with these names, importable without torch or transformers:

`MODEL_TYPES`     the values of `model_type` in config.json that it takes
`TRACKS`          the tracks that it can run
`GROUPS`          the module groups, as paths in the model that transformers builds (see `bitbudget.models.groups`)
`VISION_MODULES`  the topmost modules whose forward pass is the vision encoding: the tower and the projector
`UNAVAILABLE`     None, or the sentence that says why the family cannot be run and what can be used instead
`conversation`    the messages for the processor's chat template (see `bitbudget.models.families.chat`)
`model_class`     the transformers class whose `from_pretrained` reads the checkpoint

One name more may be there:

`image_refusal`   why the processor cannot take an image of a width and height in pixels, or None; of a family without
                  it, every image can be taken

A family that is not available has neither of the two functions. A family of text alone has no `conversation`, since a
passage goes to the model as it is (see `bitbudget.runtimes.transformers.last_word`), and its `VISION_MODULES` are
empty.

A family of detectors has no `conversation` either. Its models are exported to LiteRT, for which it says (see
`bitbudget.runtimes.litert.export`):

`SOURCE`          what they are exported from: `transformers`, `saved-model` or `tflite`; the last two are files that a
                  user has, and come without config.json
`detector`        the specification of input and outputs, from config.json and preprocessor_config.json
`FROZEN`          classes of modules whose output depends on nothing but the input's size: in the exported graph, which
                  has one size, it is a constant
`PIXEL_MASK`      whether the model asks which pixels are no padding

and where `SOURCE` is not `transformers`, in place of the last three:

`LOCAL`           the files of which one must be in the place that `local` names; the empty name is that place itself
`NEEDS_DETECTOR`  that only the user can say what goes in and what comes out
"""
