"""What tracks, data sets, model families and formats must say of themselves, and what counts where they do not.

A module that lacks something is refused while the workflow is parsed (`registry.module_of`). What it may leave out has
one default, here, and the default is the safe one: what nobody says to be published is not, and no claim is made.
`of` gives what a module says, or else this default.

Attributes marked as words are only shown: where none of them is shown, changing one reruns nothing
(`bitbudget.config.dependencies`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

REQUIRED = object()
TEXT, FLAG, NAMES, MAPPING, FUNCTION = str, bool, tuple, Mapping, Callable


@dataclass(frozen=True)
class Attribute:
    """Something that a module says: its types, and the default of what it may leave out."""

    types: Any  # for isinstance
    meaning: str
    default: Any = REQUIRED
    words: bool = False

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    def fits(self, value: Any) -> bool:
        """Whether a value is of the right type; and words that must be there are not empty."""
        return isinstance(value, self.types) and not (self.words and self.required and not value)


def _words(meaning: str, default: Any = REQUIRED) -> Attribute:
    return Attribute(TEXT if default is REQUIRED or isinstance(default, str) else Mapping, meaning, default, words=True)


NONE = type(None)

TRACK = {
    "METRICS": Attribute(
        MAPPING,
        "each metric's label, unit and higher_is_better, and if it applies: range (one answer's value from wrong to "
        "right), scale: log (where values differ much), against_baseline (the baseline itself has none), cited (its "
        "name with the work that defines it)",
    ),
    "PRIMARY": Attribute(TEXT, "the metric that counts, one of METRICS; a data set may name another"),
    "PROMPT": Attribute((str, NONE), "what is asked where a study does not say; None where nothing is"),
    "IMAGES": Attribute(FLAG, "whether items have images"),
    "FEW_SHOT": Attribute(FLAG, "whether examples can stand before them"),
    "RUNTIME": Attribute(TEXT, "what runs its models"),
    "DEFAULT_PRECISIONS": Attribute(NAMES, "the precisions of a study that names none"),
    "FLOOR": Attribute(TEXT, "what is called the floor, within a sentence"),
    "ITEM": Attribute(TEXT, "what a model is asked about, in the singular: image, question, passage"),
    "RESAMPLED": Attribute(TEXT, "what the bootstrap draws, in the plural"),
    "RATE": Attribute(NAMES, "the speed that it is told by: a metric for every batch size, and its unit"),
    "FIGURES": Attribute(NAMES, "the figures that it has beside those of all tracks", ()),
    "score": Attribute(FUNCTION, "the metrics of the record, and one dict an item"),
    "resampled": Attribute(
        FUNCTION,
        "how the metrics follow from the items drawn into a resample (a `bootstrap.Resampled`), from rows of "
        "item_scores.jsonl, in which `score` therefore keeps what each metric is made of; the order of the rows is "
        "that of the units",
    ),
    "blind_answers": Attribute(FUNCTION, "answers given without looking, or reading, whose score is the floor"),
    "ANSWER": Attribute(TEXT, "the key of a prediction row that holds the answer: text, or detections, a list", "text"),
    "ROWS": Attribute(FLAG, "whether `score` is given whole prediction rows, not the answers", False),
    "LOGITS": Attribute(FLAG, "whether it is given logits as well, a precision's and the baseline's", False),
    "USES_PARAPHRASES": Attribute(FLAG, "whether it is given METEOR's table", False),
    "SPOT_CHECK": Attribute(
        (int, NONE), "items that people rate where the study names no number; None where none can be", None
    ),
    "SHOWN": Attribute((tuple, NONE), "the metrics that the figure of quality draws; None: all", None),
    "PHASES": Attribute(
        (tuple, NONE),
        "the parts of an answer whose latency is measured, by the names of the metrics latency_{phase}; None: those of "
        "a generated text",
        None,
    ),
    "breakdown": Attribute((FUNCTION, NONE), "the metrics by kinds of items", None),
    "worth": Attribute(
        FUNCTION,
        "what one row is worth by itself in a metric, more being better",
        lambda row, metric: row.get(metric),
    ),
    "WORTH": Attribute(
        TEXT, "the same in words, for who reads how many items became better or worse; empty where it is the value", ""
    ),
    "READS_TEXT": Attribute(
        FLAG, "whether its questions may ask to read text in pictures, so that answers may hold personal strings", True
    ),
    "WHY_NO_OBJECTS": Attribute(
        TEXT, "why objects that are not in the image are not looked for in its answers; empty where they are"
    ),
    "TASK": _words("the task, within a title and a sentence: image captioning"),
    "GOAL": _words("what a study of it finds out, after `find out`"),
    "APPLICATION": _words("a paragraph: what it is for, and which costs decide there"),
    "RISK": _words("a paragraph: what harm a wrong answer may do, and what its score does not show"),
    "RISK_IN_SHORT": _words("the same in a clause, for a slide"),
    "BELOW_FLOOR": _words(
        "what to look at where the baseline scores less than the blind floor; empty where nothing", ""
    ),
    "SCORED": _words(
        "how it is scored, in sentences; {cited} is the primary metric with the work that defines it, {beside} what "
        "else was computed"
    ),
    "BACKGROUND": Attribute(NAMES, "further paragraphs of background: models, applications", (), words=True),
    "RELATED": _words("a paragraph: what others published of this task, with values", ""),
    "PUNISHES": _words("by metric, what it punishes and what it does not see, in a sentence", {}),
    "KIND_WORDS": _words(
        "by kind of `breakdown` and type, what items of the type are, where the type does not say", {}
    ),
    "EXPECTED": _words("what stands over the references of an item", "References"),
}

DATASET = {
    "TRACKS": Attribute(NAMES, "the tracks that it serves"),
    "SPLITS": Attribute((tuple, NONE), "its splits, the default first; None where its own options decide"),
    "OPTIONS": Attribute(MAPPING, "JSON-schema properties of its options in config/datasets.yaml"),
    "REQUIRED": Attribute(NAMES, "the options without a default"),
    "LOCAL_PATHS": Attribute(NAMES, "the options that name the user's own files or folders, read again when changed"),
    "fetch": Attribute(
        FUNCTION,
        "fills resources/datasets/{dataset}/, and says what it is: revision, licence (None: not known), source, files "
        "with SHA-256, and in `lock` what later downloads must find again where the entry pins nothing",
    ),
    "read_items": Attribute(FUNCTION, "reads a split of a fetched folder"),
    "read_categories": Attribute(
        (FUNCTION, NONE), "what kinds of objects there are to find, each an `id` and a `name`; None: none", None
    ),
    "PRIMARY": Attribute((str, NONE), "the metric that counts on it; None: its track's", None),
    "SHOTS_SPLIT": Attribute((str, NONE), "where few-shot examples come from; None: the rest of a study's own", None),
    "CALIBRATION_SPLIT": Attribute(
        (str, NONE), "where calibration items come from; None: the rest of a study's own", None
    ),
    "PUBLISHED": Attribute(
        FLAG,
        "whether its pictures and texts are known, and were published for such use; personal strings in what is told "
        "of any other set are replaced",
        False,
        words=True,
    ),
    "OBJECTS": Attribute(
        (str, NONE),
        "the file in COCO's format, in its folder, of the objects that its images show; {split} is the split",
        None,
        words=True,
    ),
    "WHY_NO_OBJECTS": Attribute((str, NONE), "why a split has no such file, in a sentence", None, words=True),
    "ABOUT": _words("what it is, within a sentence, with the work that it is of"),
    "LIMITS": _words(
        "by split, or '' for every other, what an evaluation on it leaves open, in a sentence on its {items}",
        {},
    ),
}

FAMILY = {
    "MODEL_TYPES": Attribute(
        NAMES, "the values of model_type in config.json that it takes; empty: all of `model_class`"
    ),
    "KIND": Attribute(TEXT, "what `model_class` builds, where it takes every type", ""),
    "TRACKS": Attribute(NAMES, "the tracks that it can run"),
    "GROUPS": Attribute(
        (tuple, dict),
        "the names of the module groups, whose paths `families.parts` reads from a model; or a mapping to their paths, "
        "for what it cannot read",
    ),
    "model_class": Attribute((FUNCTION, NONE), "the transformers class that reads the checkpoint", None),
    "conversation": Attribute((FUNCTION, NONE), "the messages for the processor's chat template", None),
    "image_refusal": Attribute(
        (FUNCTION, NONE), "why its processor cannot take an image of a width and height in pixels, or None", None
    ),
    "SOURCE": Attribute(
        TEXT, "of a detector, what it is exported from: transformers, saved-model or tflite", "transformers"
    ),
    "detector": Attribute((FUNCTION, NONE), "of a detector, its input and outputs, from the model's own files", None),
    "FROZEN": Attribute(
        NAMES, "of a detector, classes of modules whose output depends on nothing but the input's size", ()
    ),
    "PIXEL_MASK": Attribute(FLAG, "of a detector, whether it asks which pixels are no padding", False),
    "LOCAL": Attribute(
        NAMES,
        "the files of which one must be in the place `local`; the empty name is that place itself",
        ("config.json",),
    ),
    "NEEDS_DETECTOR": Attribute(FLAG, "whether only the user can say what goes in and what comes out", False),
    "ABOUT": _words("its architecture, after `is`, with the work that it is of"),
}

# Of the format itself, an object of `Format`, whose class has the defaults.
FORMAT = {
    "name": Attribute(TEXT, "as precisions name it"),
    "bits": Attribute((int, float), "of one stored weight without its scales"),
    "description": Attribute(TEXT, "what it is, after `is`"),
    "computes_in": Attribute(
        TEXT, "the type that its kernels multiply in: float32, bfloat16, float16, int8, or model for the model's dtype"
    ),
    "unpacks": Attribute(FLAG, "whether its kernels bring weights to that type again at every product"),
    "title": _words("what the paper calls it; formats of one title share its paragraph"),
    "about": _words("a paragraph that goes on after the title, with the work that it is of"),
}

CONTRACTS = {"track": TRACK, "dataset": DATASET, "family": FAMILY, "format": FORMAT}
DEFAULTS = {
    name: about.default for contract in CONTRACTS.values() for name, about in contract.items() if not about.required
}
# What formats say while the workflow is parsed: what comes of it is seen in what a study plans.
PARSED = frozenset({"needs", "unfit", "timed", "price", "RUNS", "LAYER_MS"})
WORDS = frozenset(
    {"about_options"}
    | PARSED
    | {name for contract in CONTRACTS.values() for name, about in contract.items() if about.words}
)


def of(thing: Any, name: str) -> Any:
    """What a track, data set or family says under a name, or its default. Raises `KeyError` for a name without one."""
    return getattr(thing, name) if hasattr(thing, name) else DEFAULTS[name]


def fault(kind: str, thing: Any) -> str | None:
    """What a thing of this kind lacks, or says in another form than it must; None where it says what it must."""
    contract = CONTRACTS[kind]
    lacks = [name for name, about in contract.items() if about.required and not hasattr(thing, name)]
    if lacks:
        return f"lacks {', '.join(lacks)}"
    for name, about in contract.items():
        if hasattr(thing, name) and not about.fits(getattr(thing, name)):
            return f"has {getattr(thing, name)!r} as {name}, which does not fit ({about.meaning})"
    return None
