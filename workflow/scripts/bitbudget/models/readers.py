"""Reading a model's configuration, its processor, or its tokenizer alone. No code of the model's repository is run."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from bitbudget.errors import UserError
from bitbudget.models import native


def load_configuration(folder: Path) -> Any:
    """The configuration in a snapshot or a checkpoint, of a model of transformers or of `bitbudget.models.native`."""
    from transformers import AutoConfig

    native.register()
    return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_processor(folder: Path) -> Any:
    """The checkpoint's processor, set to pad on the left: a decoder goes on from the last position.

    Raises `UserError` where the processor needs a package that is not installed.
    """
    try:
        processor = _processor_class(folder).from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except ImportError as fault:
        reason = " ".join(str(fault).split())
        raise UserError(f"the processor in {folder} needs a package that is missing: {reason}") from None
    _pad_on_the_left(processor.tokenizer)
    return processor


def load_tokenizer(folder: Path) -> Any:
    """The checkpoint's tokenizer alone, for a model of text, set to pad on the left.

    Where there is a tokenizer.json, it is taken as it stands: the classes that transformers 5 would choose rebuild some
    tokenizers from their vocabulary and lose how they split (SmolLM2's digits, OLMo's words;
    https://github.com/huggingface/transformers/issues/45920). Raises `UserError` where there is neither that file nor
    vocab.json and merges.txt (OPT): transformers would make a tokenizer without a vocabulary and not say so.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if (folder / "tokenizer.json").exists():
        kind = PreTrainedTokenizerFast
    elif (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
        kind = AutoTokenizer
    else:
        raise UserError(
            f"{folder} has neither a tokenizer.json nor a vocab.json with a merges.txt: "
            "write one with transformers' save_pretrained, or name a model that has them."
        )
    tokenizer = kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    _pad_on_the_left(tokenizer)
    return tokenizer


def keep_ends(folder: Path, model: Any) -> None:
    """Have a model begin, fill and end answers with the tokens that its folder's generation_config.json names.

    Only these: `generate` would take penalties and the like from there unasked.
    """
    from transformers import GenerationConfig

    if (folder / "generation_config.json").exists():
        own = GenerationConfig.from_pretrained(folder, local_files_only=True)
        tokens = {key: getattr(own, key) for key in ("bos_token_id", "pad_token_id", "eos_token_id")}
        model.generation_config = GenerationConfig(**tokens)


def _pad_on_the_left(tokenizer: Any) -> None:
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token


def _processor_class(folder: Path) -> Any:
    """What to call `from_pretrained` on: `AutoProcessor`, or a class without its part for videos.

    transformers has image processors for PIL and for torchvision, those of videos for torchvision only, and its
    processors insist on every part that `get_attributes` names.
    """
    from transformers import AutoProcessor
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
    from transformers.utils import is_torchvision_available

    kind = PROCESSOR_MAPPING.get(type(load_configuration(folder)), None)
    videos = kind and inspect.signature(kind.__init__).parameters.get("video_processor")
    if is_torchvision_available() or videos is None or videos.default is not None:
        return AutoProcessor

    class ImagesOnly(kind):
        @classmethod
        def get_attributes(cls) -> list[str]:
            return [name for name in super().get_attributes() if name != "video_processor"]

    return ImagesOnly
