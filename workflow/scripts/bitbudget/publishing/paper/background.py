"""What a reader has to know beforehand: the number formats that the study really used, and what its task is for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bitbudget import registry
from bitbudget.publishing.paper import nodes
from bitbudget.publishing.paper.nodes import Node, Unit
from bitbudget.publishing.paper.view import View
from bitbudget.telling import wording

GENERAL = (
    "Quantization maps numbers to a coarser grid: a weight w is stored as an integer q with w \N{ALMOST EQUAL TO} s(q "
    "\N{MINUS SIGN} z), where the scale s and the zero point z are shared by a row, a channel or a small block of "
    "weights [@nagel2021white; @gholami2021survey]. Done after training, it needs no gradient and no training data. "
    "What it saves depends on what is quantized: weights alone shrink the file and the memory traffic, while quantized "
    "activations also let integer units do the multiplications. What it costs depends on the outliers, because one "
    "large value stretches the grid for all that share its scale."
)

# By a kind of format: the formats of that kind, its name and its paragraph.
KINDS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "float32": (
        ("float32", "litert-float32"),
        "float32",
        "has 8 bits of exponent and 23 of fraction; it is the format in which most networks are trained and the "
        "reference for all that is smaller.",
    ),
    "float16": (
        ("float16",),
        "float16",
        "halves the size with 5 bits of exponent and 10 of fraction [@micikevicius2018mixed]: fine enough for nearly "
        "all weights, but with a largest value of 65 504, so that large activations can overflow.",
    ),
    "litert-float16": (
        ("litert-float16",),
        "LiteRT's float16",
        "is a format of storage: the weights lie in the file in 16 bits and are made float32 again before they are "
        "multiplied, so that on a processor all arithmetic is that of float32 [@litert]. It halves the file and keeps "
        "activations from overflowing, but promises no speed.",
    ),
    "bfloat16": (
        ("bfloat16",),
        "bfloat16",
        "keeps float32's 8 bits of exponent and cuts the fraction to 7 bits: it has the range of float32 at half the "
        "size and gives up resolution, with which networks can even be trained [@kalamkar2019bfloat16].",
    ),
    "bnb-int8": (
        ("bnb-int8",),
        "LLM.int8()",
        "(here bnb-int8, of the library bitsandbytes) multiplies rows of activations and columns of weights as 8-bit "
        "integers, each with its own scale [@dettmers2022llmint8].",
    ),
    "bnb-nf4": (
        ("bnb-nf4",),
        "NF4",
        "(here bnb-nf4) stores blocks of 64 weights as 4-bit indices into 16 levels placed at the quantiles of a "
        "normal distribution, which weights roughly follow, with one scale a block [@dettmers2023qlora]. Weights are "
        "brought back to the float format before every product, so it saves memory and not arithmetic.",
    ),
    "torchao": (
        ("torchao-int8", "torchao-int4"),
        "torchao's weight-only formats",
        "keep weights as 8- or 4-bit integers with one scale a channel or a group, while activations stay in the float "
        "format [@torchao].",
    ),
    "gptq": (
        ("gptq-8", "gptq-4", "gptq-3", "gptq-2"),
        "GPTQ",
        "rounds the weights of a layer one column after the other and lets those that are not yet rounded make up for "
        "the error, guided by second-order information from calibration texts [@frantar2023gptq]. It minimises the "
        "error of a layer's output and not that of its weights, whose error may be larger than that of plain rounding.",
    ),
    "rtn": (
        ("rtn-8", "rtn-4", "rtn-3", "rtn-2"),
        "Round-to-nearest",
        "moves each weight to the closest value of its grid, without calibration [@nagel2021white]. It is simulated "
        "here: values are rounded but stored and multiplied as floats, so it shows what rounding does to quality and "
        "claims no size, speed or energy.",
    ),
    "litert-int8": (
        ("litert-int8", "litert-int4"),
        "LiteRT's weight-only formats",
        "store weights in 8 or 4 bits with one scale a channel and dequantize them to float32 before they are "
        "multiplied [@litert]: the file shrinks, the arithmetic stays.",
    ),
    "litert-dynamic": (
        ("litert-int8-dynamic", "litert-int4-dynamic"),
        "Dynamic-range quantization",
        "in LiteRT rounds the inputs of each layer to 8 bits as they come, with scales worked out at run time, so that "
        "products run on integers without any calibration [@litert].",
    ),
    "litert-full": (
        ("litert-int8-full",),
        "Full-integer quantization",
        "also fixes the ranges of the activations beforehand, from calibration images, so that layers compute in whole "
        "numbers only [@jacob2018integer; @litert]; an activation outside the calibrated range is cut off.",
    ),
}  # fmt: skip

APPLICATIONS = {
    "captioning": (
        "Captions make pictures accessible to people who do not see them [@gurari2020captioning], and searchable for "
        "everybody. The applications run where pictures arise, on phones and in archives, and a vision-language "
        "model has to fit there beside everything else: its memory, the time of its vision tower and the time for "
        "every generated token are what decides. Metrics of captions can miss that a caption names what is not in "
        "the picture [@rohrbach2018chair], so a smaller model has to be checked for more than its average score."
    ),
    "vqa": (
        "Answering questions about pictures serves people who cannot see them [@gurari2018vizwiz] and readers of "
        "charts [@masry2022chartqa] and documents [@mathew2021docvqa]. Answers are short, so the time goes into "
        "the picture and the prompt rather than into generated tokens, and formats that only speed up the decoding "
        "win little. Models can also guess from the question alone [@goyal2017vqa], which is why a floor without the "
        "picture belongs beside every score."
    ),
    "lambada": (
        "Language models complete, summarise and answer; at batch size 1 every generated token reads all weights once, "
        "so their size in memory bounds the speed on ordinary machines. LAMBADA asks for the last word of a passage "
        "that "
        "people find only when they read all of it [@paperno2016lambada]: it tests the use of a long context, and it "
        "is "
        "sensitive to damage that shorter tasks do not show."
    ),
    "detection": (
        "Detectors find objects for driver assistance, inspection and counting, mostly on devices with a small power "
        "budget and without a large GPU. Latency per image, the size of the file and the energy of a battery decide "
        "there [@jacob2018integer], and a runtime for such devices decides which formats exist at all [@litert]. Boxes "
        "are continuous, so rounding shows first in how tightly they fit and in small objects."
    ),
}  # fmt: skip

FAMILIES = {
    "llava": "LLaVA: a vision transformer, a projector and a Llama decoder [@liu2023llava; @liu2024llava15]",
    "qwen2-vl": "Qwen2-VL [@wang2024qwen2vl]",
    "idefics3": "Idefics3 / SmolVLM [@laurencon2024idefics3; @marafioti2025smolvlm]",
    "phi3-v": "Phi-3-vision [@phi3]",
    "bunny": "Bunny [@he2024bunny]",
    "llama": "a Llama decoder [@touvron2023llama]",
    "gpt-neox": "GPT-NeoX, as in Pythia [@biderman2023pythia]",
    "opt": "OPT [@zhang2022opt]",
    "yolos": "YOLOS, a plain vision transformer with detection tokens [@fang2021yolos]",
    "detr": "DETR [@carion2020detr]",
    "rt-detr": "RT-DETR [@zhao2024rtdetr]",
}

LATER = 4  # rank of what is said of a task where there are several

OUTLIERS = (
    "The few activation columns with a value above {threshold} are taken out and multiplied in 16 bits. The method "
    "aims at memory; splitting each product in two can make small batches slower than 16 bits."
)
NO_OUTLIERS = "With the threshold 0{where}, no activation column is taken out to be multiplied in 16 bits."
DOUBLE = "{where}the scales are quantized to 8 bits as well, which saves another 0.37 bits a weight."


def units(views: Sequence[View]) -> list[Unit]:
    """The section: numbers in general, a paragraph a kind of format, and each track's task."""
    used = {name for view in views for name in view.formats}
    found = [Unit([nodes.h("Number formats"), nodes.p(GENERAL)])]
    known: set[str] = set()
    for kind, (names, title, words) in KINDS.items():
        known |= set(names)
        if used & set(names):
            found.append(Unit([_named(title, " ".join(filter(None, (words, _options(kind, views)))))]))
    for name in sorted(used - known):  # a format without a paragraph of its own
        found.append(Unit([_named(name, "is " + registry.format_of(name).description + ".")]))
    modules = {view.e.track: view.track for view in views}
    tasks = [nodes.p(APPLICATIONS[track]) for track in modules]
    found.append(Unit([nodes.h("Applications and deployment"), *tasks]))
    for module in modules.values():
        paragraphs = [nodes.p(one) for one in getattr(module, "BACKGROUND", ())]
        found += [Unit(paragraphs, 0 if len(modules) == 1 else LATER)] if paragraphs else []
    return found


def _options(kind: str, views: Sequence[View]) -> str:
    """What the options of a format's assignments make of it."""
    if kind == "bnb-int8":
        asked = _asked(views, "bnb-int8", "threshold")
        above = sorted({value for value in asked.values() if value})
        without = [name for name, value in asked.items() if value == 0]
        said = [OUTLIERS.format(threshold=wording.listed([f"{value:g}" for value in above]))] if above else []
        where = f" ({wording.named(without)})" if above else ""
        return " ".join([*said, *([NO_OUTLIERS.format(where=where)] if without else [])])
    if kind == "bnb-nf4":
        asked = _asked(views, "bnb-nf4", "double_quant")
        double = [name for name, value in asked.items() if value]
        every = len(double) == len(asked)
        return DOUBLE.format(where="Here " if every else f"In {wording.named(double)}, ") if double else ""
    return ""


def _asked(views: Sequence[View], form: str, option: str) -> dict[str, Any]:
    """The value of an option in each precision that has the format somewhere."""
    found = {}
    for view in views:
        for assignments in view.e.study.get("assignments", {}).values():
            for precision, groups in assignments.items():
                for spec in groups.values():
                    if spec["format"] == form and option in spec:
                        found[precision] = spec[option]
    return found


def _named(title: str, words: str) -> Node:
    return {"t": "p", "c": [*nodes.strong(title), *nodes.text(" "), *nodes.inline(words)]}
