"""What of a model type works: a tiny random model of it goes a study's way, from its snapshot to its answers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import tiny_models as tiny
import tiny_seeing
import tiny_tokenizers
import tiny_types
import torch
from PIL import Image
from transformers import AutoConfig

from bitbudget import registry
from bitbudget.errors import UserError, reason
from bitbudget.models import checkpoint, coverage, readers, snapshots
from bitbudget.models.asking import forms
from bitbudget.models.audit import checkpoint_audit
from bitbudget.models.families import parts
from bitbudget.models.groups import group_of
from bitbudget.runtimes.transformers import generation, last_word

READING, SEEING = (registry.module_of("family", name) for name in ("auto-text", "auto-vision"))
FORMATS = {READING: {"language": "bnb-int8"}, SEEING: {"language": "bnb-int8", "vision": "bnb-int8"}}
LARGEST = 15e6  # parameters of a model that counts as tiny
PASSAGE = {"id": "1", "question": "The cat sat on the", "references": ["mat"]}
# Types whose processor finds no place for a picture in a prompt without a word from config/models.yaml.
TEMPLATES = {"deepseek_vl": "{image}{question}"}

Steps = dict[str, Callable[[], None]]


def reading(model_type: str) -> dict[str, str]:
    """By step, "" where it works for a language model of this type, else why not; the steps after it are left out.

    `reached` is the share of the weights in the quantized groups that int8 holds.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tokenizer = generation.load_tokenizer(tiny_tokenizers.llama2(folder))
        try:
            _small(model_type, -(-len(tokenizer) // 64) * 64).save_pretrained(folder)
        except Exception as fault:
            return {"fetched": f"no tiny model of it was built from its default configuration ({reason(fault)[:90]})"}
        reached: dict[str, str] = {}
        return _gone(_way(READING, folder, reached) | {"answers": lambda: _last_word(folder / "made")}) | reached


def seeing(name: str) -> dict[str, str]:
    """The same for a vision-language type of `tiny_seeing`."""
    with tempfile.TemporaryDirectory() as place:
        folder = tiny_seeing.make(name, Path(place))
        answers = {
            "answers": lambda: _answers(folder / "made", name, shots=False),
            "few-shot": lambda: _answers(folder / "made", name, shots=True),
        }
        reached: dict[str, str] = {}
        return _gone(_way(SEEING, folder, reached, name in TEMPLATES) | answers) | reached


def _gone(steps: Steps) -> dict[str, str]:
    found: dict[str, str] = {}
    for step, go in steps.items():
        try:
            go()
        except UserError as fault:
            return found | {step: str(fault)}
        found[step] = ""
    return found


def _small(model_type: str, vocabulary: int) -> Any:
    config = tiny_types.shrink(AutoConfig.for_model(model_type), vocabulary)
    with torch.device("meta"):
        size = sum(value.numel() for value in READING.model_class().from_config(config).parameters())
    if size > LARGEST:
        raise ValueError(f"{size / 1e6:.0f} million parameters are left")
    return tiny.build(READING, config)


def _way(family: ModuleType, folder: Path, reached: dict[str, str], templated: bool = False) -> Steps:
    formats, made = tiny.assignment(family, "float32", **FORMATS[family]), folder / "made"

    def groups() -> None:
        model = checkpoint.load_original(folder, family, "float32")
        divided = parts.groups(family, model)
        for name, _ in model.named_parameters():
            group_of(name, divided)
        reached["reached"] = f"{coverage.reach(model, family, formats)[0]:.0%}"

    def quantize() -> None:
        tiny.make_checkpoint(folder, made, family, **FORMATS[family])

    def audit() -> None:
        model, original = checkpoint.load(made, family, "cpu"), checkpoint.load_original(folder, family, "float32")
        layers = checkpoint_audit.audit_layers(model, original, family, formats, "cpu")
        others = checkpoint_audit.other_parameters(model, original, family, layers)
        changed = checkpoint_audit.changed_elsewhere(model, original, layers)
        checkpoint_audit.refuse_faults("int8", layers, others + changed)

    return {
        "fetched": lambda: snapshots.check(folder, family, templated),
        "groups": groups,
        "quantized": quantize,
        "audited": audit,
    }


def _last_word(made: Path) -> None:
    model, tokenizer = checkpoint.load(made, READING, "cpu"), generation.load_tokenizer(made)
    begin = last_word.beginning(tokenizer, "auto")
    passage = last_word.encode(tokenizer, begin, PASSAGE, last_word.positions(model))
    ((row, _),) = last_word.score(model, tokenizer, [passage], "cpu", "int8")
    assert row.logprob < 0


def _answers(made: Path, name: str, shots: bool) -> None:
    model, processor = checkpoint.load(made, SEEING, "cpu"), generation.load_processor(made)
    kind = readers.load_configuration(made).model_type
    track = "vqa" if "vqa" in forms.FORMS.get(kind, {"vqa": ""}) else "captioning"
    form = forms.choose(processor, kind, track, TEMPLATES.get(name), made)
    pictures = [[picture] for picture in _pictures()]
    example = [generation.Example(pictures[1][0], "What?", "This")] if shots else []
    texts = ["What?", "Describe the image in one sentence.", "And now?"]
    inputs = generation.prepare(processor, SEEING, pictures, texts, "cpu", torch.float32, example, form=form)
    answers = generation.answer(model, processor, inputs, generation.decoding(model, processor, 4))
    assert all(answer.new_tokens for answer in answers)


def _pictures() -> Iterator[Image.Image]:
    for number, size in enumerate(tiny.SIZES):
        yield Image.linear_gradient("L").rotate(37 * number).resize(size).convert("RGB")
