"""Reading a model's configuration, its processor, or its tokenizer alone. No code of the model's repository is run."""

from __future__ import annotations

import importlib
import json
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from bitbudget.errors import UserError
from bitbudget.models import native


def load_configuration(folder: Path) -> Any:
    """The configuration in a snapshot or a checkpoint, of a model of transformers or of `bitbudget.models.native`."""
    from transformers import AutoConfig

    native.register()
    return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_processor(folder: Path) -> Any:
    """The checkpoint's processor. A decoder's texts are padded on the left, since it goes on from the last position.

    Those of an encoder, whose positions may count from its first token, are padded on the right. Raises `UserError`
    where the processor needs a package that is not installed.
    """
    config = load_configuration(folder)
    try:
        processor = _processor_class(folder, config).from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except ImportError as fault:
        raise UserError(missing_package(f"the processor in {folder}", fault)) from None
    except ValueError as fault:
        if "torchvision" not in str(fault):
            raise
        raise UserError(missing_package(f"the image processor of {folder}", fault)) from None
    if not hasattr(processor, "tokenizer"):
        raise UserError(
            f"{folder} does not say how texts and images go together: add the processor_config.json or "
            "preprocessor_config.json of the model's original repository."
        )
    _pad(processor.tokenizer, "right" if encodes_text(config) else "left")
    return processor


def encodes_text(config: Any) -> bool:
    """Whether what is asked goes to an encoder, and a decoder begins the answer anew (T5, BART)."""
    return bool(config.is_encoder_decoder or getattr(config.get_text_config(), "is_encoder_decoder", False))


NAMED = re.compile(r"pip install (?:-U )?([\w.-]+)|requires the (\w+) library|No module named '(\w+)")


def missing_package(what: str, fault: Exception) -> str:
    """The sentence on a package that is missing, with the command that installs it where its name is told."""
    reason = " ".join(str(fault).split())
    found = NAMED.search(reason)
    name = "torchvision" if "torchvision" in reason.lower() else found and next(filter(None, found.groups())).lower()
    if not name:
        return f"{what} needs a package that is missing: {reason}"
    build = " from where torch was installed" if name == "torchvision" else ""
    return (
        f"{what} needs the package {name}, which is not installed: run `pip install {name}`{build}, or with "
        "--use-conda add it to [inference] in envs/groups.toml and run `make envs`."
    )


PIECES = ("tokenizer.model", "spiece.model")  # a SentencePiece model, by the names that snapshots have for it
SAMPLES = (
    "The cat sat on the mat.",
    "In 1984 he went home, and she didn't.",
    "Übermäßig große Straßen",
    "日本語 and 12,345",
)


def load_tokenizer(folder: Path) -> Any:
    """The checkpoint's tokenizer alone, for a model of text, set to pad on the left.

    Where there is a tokenizer.json, it is taken as it stands: the classes that transformers 5 would choose rebuild some
    tokenizers from their vocabulary and lose how they split (SmolLM2's digits, OLMo's words;
    https://github.com/huggingface/transformers/issues/45920). Without one, transformers makes it of vocab.json and
    merges.txt (OPT), or of a SentencePiece model (older Llama, Mistral and Gemma), which is then held against that.
    Raises `UserError` where there is none of these: transformers would make a tokenizer without a vocabulary and not
    say so; and where a SentencePiece model splits texts in another way.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    pieces = next((folder / name for name in PIECES if (folder / name).exists()), None)
    if (folder / "tokenizer.json").exists():
        kind, pieces = PreTrainedTokenizerFast, None
    elif pieces or ((folder / "vocab.json").exists() and (folder / "merges.txt").exists()):
        kind = AutoTokenizer
    else:
        raise UserError(
            f"{folder} has neither a tokenizer.json nor a vocab.json with a merges.txt nor a tokenizer.model: "
            "write one with transformers' save_pretrained, or name a model that has them."
        )
    tokenizer = kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if pieces:
        _hold_against(pieces, tokenizer)
    _pad(tokenizer, "left")
    return tokenizer


# What begins a decoder's answer where an encoder reads the prompt, is among them.
ENDS = ("bos_token_id", "pad_token_id", "eos_token_id", "decoder_start_token_id", "forced_bos_token_id")


def keep_ends(folder: Path, model: Any) -> None:
    """Have a model begin, fill and end answers with the tokens that its folder's generation_config.json names.

    Only these: `generate` would take penalties and the like from there unasked.
    """
    from transformers import GenerationConfig

    if (folder / "generation_config.json").exists():
        own = GenerationConfig.from_pretrained(folder, local_files_only=True)
        tokens = {key: getattr(own, key) for key in ENDS}
        model.generation_config = GenerationConfig(**tokens)


def _hold_against(pieces: Path, tokenizer: Any) -> None:
    """Check that a tokenizer splits texts as the SentencePiece model does that it was made of. Raises `UserError`."""
    try:
        import sentencepiece
    except ImportError as fault:
        raise UserError(missing_package(f"the tokenizer in {pieces}", fault)) from None
    model = sentencepiece.SentencePieceProcessor(model_file=str(pieces))
    for text in SAMPLES:
        if tokenizer(text, add_special_tokens=False)["input_ids"] != model.encode(text):
            raise UserError(
                f"transformers makes another tokenizer of {pieces} than SentencePiece, which splits {text!r} "
                "differently: take the tokenizer.json of the model's original repository."
            )


def _pad(tokenizer: Any, side: str) -> None:
    tokenizer.padding_side = side
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token


def _processor_class(folder: Path, config: Any) -> Any:
    """What to call `from_pretrained` on: `AutoProcessor`, or the model's class without its part for videos.

    transformers has image processors for PIL and for torchvision, those of videos for torchvision only, and its
    processors insist on every part that `get_attributes` names.
    """
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
    from transformers.utils import is_torchvision_available

    _need_no_words_for_numbers()
    if is_torchvision_available():
        return transformers.AutoProcessor
    kind = getattr(transformers, _processor_name(folder) or "", None) or PROCESSOR_MAPPING.get(type(config), None)
    hidden = getattr(kind, "is_dummy", False)
    kind = _imported(kind) if hidden else kind
    if "video_processor" in getattr(kind, "get_attributes", list)():
        return _without_videos(kind)
    return kind if hidden else transformers.AutoProcessor


def _need_no_words_for_numbers() -> None:
    """Have SmolVLM's processor made without the package num2words, which spells the number of a video's frames."""
    from transformers.models.smolvlm import processing_smolvlm

    processing_smolvlm.num2words = processing_smolvlm.num2words or str


def _imported(kind: Any) -> Any:
    """The class of a processor that transformers hides for want of torchvision, which images do not need (Pixtral).

    Its module takes a function from one that imports torchvision; what stands in for it is in no other's way.
    """
    functional = "torchvision.transforms.v2.functional"
    names = [functional.rsplit(".", count)[0] for count in range(functional.count("."), -1, -1)]
    stand_ins = {name: ModuleType(name) for name in names}
    stand_ins[names[-2]].functional = SimpleNamespace(InterpolationMode=Any)
    sys.modules.update(stand_ins)
    try:
        return getattr(importlib.import_module(kind.__module__), kind.__name__)
    finally:
        for name in stand_ins:
            del sys.modules[name]


def _processor_name(folder: Path) -> str | None:
    """The class that a snapshot's files name, as `AutoProcessor` looks for it."""
    for name in ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
        path = folder / name
        said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if said.get("processor_class"):
            return said["processor_class"]
    return None


class _NoVideos(dict):
    """In the place of a part for videos: every setting that a processor looks up in it is None."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


NO_VIDEOS = _NoVideos()


@cache
def _without_videos(kind: Any) -> Any:
    """A processor's class whose part for videos is `NO_VIDEOS`; its name stays, which transformers looks at."""

    class Parts(kind):
        @classmethod
        def get_attributes(cls) -> list[str]:
            return [name for name in kind.get_attributes() if name != "video_processor"]

    Parts.__name__ = kind.__name__

    class ImagesOnly(kind):
        @classmethod
        def _get_arguments_from_pretrained(cls, *given: Any, **named: Any) -> list[Any]:
            found = dict(
                zip(Parts.get_attributes(), Parts._get_arguments_from_pretrained(*given, **named), strict=True)
            )
            return [found.get(name, NO_VIDEOS) for name in cls.get_attributes()]

        def check_argument_for_proper_class(self, name: str, part: Any) -> Any:
            return None if part is NO_VIDEOS else super().check_argument_for_proper_class(name, part)

    ImagesOnly.__name__ = kind.__name__
    return ImagesOnly
