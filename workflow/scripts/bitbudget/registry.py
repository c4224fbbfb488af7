"""Where each named thing lives: a new format, model family, dataset or track is one line here and one new file.

Only names stand here, never behaviour, and a module is imported when it is used. A rule therefore depends on the one
format, family, dataset and track that its job uses, and registering a new one reruns nothing.
"""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType

from bitbudget import contracts
from bitbudget.errors import UserError
from bitbudget.models.formats.base import Format

TRACKS = {
    "captioning": "bitbudget.tracks.captioning",
    "vqa": "bitbudget.tracks.vqa",
    "lambada": "bitbudget.tracks.lambada",
    "detection": "bitbudget.tracks.detection",
}

DATASETS = {
    "coco2017-captions": "bitbudget.datasets.coco2017_captions",
    "nocaps": "bitbudget.datasets.nocaps",
    "local-captions": "bitbudget.datasets.local_captions",
    "hub-captions": "bitbudget.datasets.hub_captions",
    "demo-scenes": "bitbudget.datasets.demo_scenes",
    "vqav2": "bitbudget.datasets.vqav2",
    "textvqa": "bitbudget.datasets.textvqa",
    "vizwiz-vqa": "bitbudget.datasets.vizwiz_vqa",
    "chartqa": "bitbudget.datasets.chartqa",
    "docvqa": "bitbudget.datasets.docvqa",
    "local-vqa": "bitbudget.datasets.local_vqa",
    "demo-questions": "bitbudget.datasets.demo_questions",
    "lambada-openai": "bitbudget.datasets.lambada_openai",
    "lambada-standard": "bitbudget.datasets.lambada_standard",
    "local-lambada": "bitbudget.datasets.local_lambada",
    "demo-passages": "bitbudget.datasets.demo_passages",
    "coco2017-detection": "bitbudget.datasets.coco2017_detection",
    "local-detection": "bitbudget.datasets.local_detection",
    "demo-boxes": "bitbudget.datasets.demo_boxes",
}

FAMILIES = {
    "auto-vision": "bitbudget.models.families.auto_vision",
    "auto-text": "bitbudget.models.families.auto_text",
    "llava": "bitbudget.models.families.llava",
    "qwen2-vl": "bitbudget.models.families.qwen2_vl",
    "idefics3": "bitbudget.models.families.idefics3",
    "phi3-v": "bitbudget.models.families.phi3_v",
    "bunny": "bitbudget.models.families.bunny",
    "llama": "bitbudget.models.families.llama",
    "gpt-neox": "bitbudget.models.families.gpt_neox",
    "opt": "bitbudget.models.families.opt",
    "yolos": "bitbudget.models.families.yolos",
    "detr": "bitbudget.models.families.detr",
    "rt-detr": "bitbudget.models.families.rt_detr",
    "saved-model": "bitbudget.models.families.saved_model",
    "tflite": "bitbudget.models.families.tflite",
}

FORMATS = {
    "float32": "bitbudget.models.formats.floats",
    "float16": "bitbudget.models.formats.floats",
    "bfloat16": "bitbudget.models.formats.floats",
    "bnb-int8": "bitbudget.models.formats.bnb_int8",
    "bnb-nf4": "bitbudget.models.formats.bnb_nf4",
    "torchao-int8": "bitbudget.models.formats.torchao_weight_only",
    "torchao-int4": "bitbudget.models.formats.torchao_weight_only",
    "torchao-int8-dynamic": "bitbudget.models.formats.torchao_dynamic",
    "torchao-fp8": "bitbudget.models.formats.torchao_dynamic",
    "rtn-8": "bitbudget.models.formats.rtn",
    "rtn-4": "bitbudget.models.formats.rtn",
    "rtn-3": "bitbudget.models.formats.rtn",
    "rtn-2": "bitbudget.models.formats.rtn",
    "gptq-8": "bitbudget.models.formats.gptq",
    "gptq-4": "bitbudget.models.formats.gptq",
    "gptq-3": "bitbudget.models.formats.gptq",
    "gptq-2": "bitbudget.models.formats.gptq",
    "as-is": "bitbudget.models.formats.ready",
    "awq-8": "bitbudget.models.formats.awq",
    "awq-4": "bitbudget.models.formats.awq",
    "awq-3": "bitbudget.models.formats.awq",
    "awq-2": "bitbudget.models.formats.awq",
    "gguf-as-is": "bitbudget.runtimes.llama_cpp.formats",
    "gguf-f16": "bitbudget.runtimes.llama_cpp.formats",
    "gguf-bf16": "bitbudget.runtimes.llama_cpp.formats",
    "gguf-q8_0": "bitbudget.runtimes.llama_cpp.formats",
    "gguf-q6_k": "bitbudget.runtimes.llama_cpp.formats",
    "gguf-q5_k_m": "bitbudget.runtimes.llama_cpp.formats",
    "gguf-q4_k_m": "bitbudget.runtimes.llama_cpp.formats",
    "gguf-q4_0": "bitbudget.runtimes.llama_cpp.formats",
    "gguf-iq4_nl": "bitbudget.runtimes.llama_cpp.formats",
    "gguf-iq4_xs": "bitbudget.runtimes.llama_cpp.formats",
    "gguf-q3_k_m": "bitbudget.runtimes.llama_cpp.formats",
    "gguf-iq3_s": "bitbudget.runtimes.llama_cpp.formats",
    "gguf-q2_k": "bitbudget.runtimes.llama_cpp.formats",
    "ort-float32": "bitbudget.runtimes.onnxruntime.formats",
    "ort-int8-dynamic": "bitbudget.runtimes.onnxruntime.formats",
    "ort-int8": "bitbudget.runtimes.onnxruntime.formats",
    "litert-float32": "bitbudget.models.formats.litert",
    "litert-float16": "bitbudget.models.formats.litert",
    "litert-as-is": "bitbudget.models.formats.litert",
    "litert-int8": "bitbudget.models.formats.litert",
    "litert-int8-dynamic": "bitbudget.models.formats.litert",
    "litert-int8-full": "bitbudget.models.formats.litert",
    "litert-int4": "bitbudget.models.formats.litert",
    "litert-int4-dynamic": "bitbudget.models.formats.litert",
    "tflite-float16": "bitbudget.models.formats.tflite",
    "tflite-int8-dynamic": "bitbudget.models.formats.tflite",
    "tflite-int8-full": "bitbudget.models.formats.tflite",
}

WHAT = {"track": "track", "dataset": "data set", "family": "model family", "format": "format"}
KINDS = {"track": TRACKS, "dataset": DATASETS, "family": FAMILIES, "format": FORMATS}


def module_of(kind: str, name: str) -> ModuleType:
    """The module that stands for `name`.

    Raises `UserError` for a name that is not registered, and for a module that does not say what it must.
    """
    names = KINDS[kind]
    if name not in names:
        raise UserError(f"there is no {kind} {name!r}; choose one of {', '.join(sorted(names))}.")
    module = importlib.import_module(names[name])
    if fault := _fault(kind, name, module):
        where = f"workflow/scripts/{names[name].replace('.', '/')}.py"
        raise UserError(f"{where} {fault}; bitbudget/contracts.py says what a {WHAT[kind]} must say of itself.")
    return module


@cache
def _fault(kind: str, name: str, module: ModuleType) -> str | None:
    if kind != "format":
        return contracts.fault(kind, module)
    formats = getattr(module, "FORMATS", {})
    return contracts.fault(kind, formats[name]) if name in formats else f"has no {name!r} in FORMATS"


def format_of(name: str) -> Format:
    """The format of this name. Raises `UserError` as `module_of` does."""
    return module_of("format", name).FORMATS[name]
