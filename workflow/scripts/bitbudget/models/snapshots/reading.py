"""Whether a snapshot's tokenizer and processor fit its model: they are loaded, and asked one question."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from bitbudget import contracts
from bitbudget.errors import UserError, reason
from bitbudget.models.asking import forms
from bitbudget.models.snapshots.rendering import render
from bitbudget.models.snapshots.small_files import AGAIN

QUESTION = "What is the cat doing on the mat?"
SIZE = (320, 240)  # pixels of the picture that is shown


def check_tokenizer(folder: Path, family: ModuleType, config: Any, templated: bool = False) -> Any:
    """Check what reads texts: a processor where the family converses, else a tokenizer alone.

    Returns the model's inputs of a picture and a question, None for a model of text alone. Raises `UserError` that
    names the file at fault.
    """
    from bitbudget.models import readers

    converses = contracts.of(family, "conversation") is not None
    _check_tokenizer_file(folder)
    try:
        reader = (readers.load_processor if converses else readers.load_tokenizer)(folder)
    except UserError:
        raise
    except Exception as fault:  # every class of tokenizer and processor has exceptions of its own
        what = "processor" if converses else "tokenizer"
        raise UserError(
            f"transformers cannot make the {what} from {_sources(folder)} ({reason(fault)}): {AGAIN}."
        ) from None
    tokenizer = getattr(reader, "tokenizer", reader)
    written = _written(folder, reader) if converses else ""
    _check_vocabulary(folder, tokenizer, int(config.get_text_config().vocab_size), written)
    if not converses:
        return None
    _check_end(folder, tokenizer, config)
    return _question(folder, family, config, reader, templated)


def _sources(folder: Path) -> str:
    names = ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json")
    there = [name for name in names if (folder / name).is_file()]
    return f"{folder} ({', '.join(there) or 'none of ' + ', '.join(names)})"


def _check_tokenizer_file(folder: Path) -> None:
    path = folder / "tokenizer.json"
    if not path.is_file():
        return  # older snapshots have other files, which the tokenizer's class knows
    from tokenizers import Tokenizer

    try:
        Tokenizer.from_file(str(path))
    except Exception as fault:  # the library raises plain `Exception`
        raise UserError(f"{path} is no tokenizer ({reason(fault)}): {AGAIN}.") from None


def _written(folder: Path, processor: Any) -> str:
    """The text of the chat template, of several by name all of them; empty where there is none."""
    template = processor.chat_template
    texts = list(template.values()) if isinstance(template, dict) else [template] if template else []
    if not all(isinstance(text, str) for text in texts):
        raise UserError(f"the chat template in {_template(folder)} is no text: take that of the original repository.")
    return "\0".join(texts)


def _template(folder: Path) -> Path:
    """The file that has the chat template; the folder where none has."""
    names = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json", "processor_config.json")
    return next((folder / name for name in names if (folder / name).is_file()), folder)


def _check_vocabulary(folder: Path, tokenizer: Any, rows: int, written: str) -> None:
    """Check that the tokenizer splits a text, can pad, and makes no token that the model has no embedding for.

    Special tokens that nothing writes may be beyond the embeddings: some tokenizers declare more than they use.
    """
    try:
        found = tokenizer(QUESTION, add_special_tokens=False)["input_ids"]
    except Exception as fault:  # by a setting of another type than the tokenizer reckons with
        raise UserError(
            f"the tokenizer from {_sources(folder)} cannot split a text ({reason(fault)}): {AGAIN}."
        ) from None
    if not found or set(found) == {tokenizer.unk_token_id}:
        raise UserError(f"the tokenizer in {folder} knows none of the letters of {QUESTION!r}: {AGAIN}.")
    if tokenizer.pad_token is None:
        raise UserError(
            f"the tokenizer in {folder} has neither a pad_token nor an eos_token: name them in tokenizer_config.json."
        )
    named = set(map(str, tokenizer.special_tokens_map.values()))
    idle = {
        number
        for number, token in tokenizer.added_tokens_decoder.items()
        if token.special and token.content not in named and token.content not in written
    }
    beyond = sorted(number for number in tokenizer.get_vocab().values() if number >= rows and number not in idle)
    if beyond:
        token = tokenizer.convert_ids_to_tokens(beyond[0])
        raise UserError(
            f"the tokenizer in {folder} has tokens that the model does not (number {beyond[0]}, {token!r}, where the "
            f"model has {rows}): it is another model's, so take tokenizer.json from the model's original repository."
        )


def _check_end(folder: Path, tokenizer: Any, config: Any) -> None:
    """Check that something says which token ends an answer."""
    from transformers import GenerationConfig

    path = folder / "generation_config.json"
    own = (
        GenerationConfig.from_pretrained(folder, local_files_only=True)
        if path.is_file()
        else GenerationConfig.from_model_config(config)
    )
    if own.eos_token_id is None and tokenizer.eos_token_id is None:
        raise UserError(
            f"nothing in {folder} says which token ends an answer: name eos_token_id in generation_config.json, or "
            "eos_token in tokenizer_config.json."
        )


def _question(folder: Path, family: ModuleType, config: Any, processor: Any, templated: bool) -> Any:
    """A picture and a question as the model's inputs, after checking that both get through its form and arrive."""
    from PIL import Image

    form = forms.probe(processor, config.model_type)
    if form.by is None and not templated:
        raise UserError(forms.unknown(folder, config.model_type))
    if form.by == forms.CHAT:
        template = _template(folder)
        prompt = render(lambda: forms.write(form, processor, family, 1, QUESTION), template)
        if QUESTION not in prompt:
            raise UserError(
                f"the chat template in {template} leaves out what is asked: take that of the model's original "
                "repository."
            )
    else:
        prompt = forms.write(form, processor, family, 1, QUESTION)
    picture = Image.linear_gradient("L").resize(SIZE).convert("RGB")  # a black one may count as padding
    try:
        inputs = forms.read(processor, [[picture]], [prompt])
    except Exception as fault:
        how = " as its chat template writes them" if form.by == forms.CHAT else ""
        raise UserError(
            f"the processor in {_sources(folder)} cannot take a picture and a question{how} ({reason(fault)}): {AGAIN}."
        ) from None
    number = forms.image_token_id(config)
    if number is not None and not (inputs["input_ids"] == number).any():
        raise UserError(
            f"the prompt has no image token ({number} in {folder / 'config.json'}): the tokenizer or the chat template "
            f"is another model's; {AGAIN}."
        )
    return inputs
