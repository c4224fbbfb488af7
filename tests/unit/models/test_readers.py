"""Reading tokenizers of snapshots that have only a SentencePiece model, held against SentencePiece itself."""

import io
import json

import pytest
import sentencepiece
import tiny_models
from transformers.utils import import_utils

from bitbudget.errors import UserError
from bitbudget.models import readers

LINES = ["the cat sat on the mat.", "he went home to his old friend", "she saw 12 red cars, and didn't stop!"] * 20
WHOLE = {"character_coverage": 1.0, "normalization_rule_name": "identity", "remove_extra_whitespaces": False}
MADE = {
    "llama": ("bpe", {"byte_fallback": True}, "LlamaTokenizer", {}),
    "gemma": (
        "bpe",
        {"byte_fallback": True, "add_dummy_prefix": False, "pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3},
        "GemmaTokenizer",
        {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"},
    ),
    "of another kind": ("unigram", {}, "LlamaTokenizer", {}),
}


def snapshot(folder, kind):
    algorithm, settings, name, tokens = MADE[kind]
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=written, vocab_size=330, hard_vocab_limit=False,
        model_type=algorithm, minloglevel=2,
        **WHOLE | settings,
    )  # fmt: skip
    (folder / "tokenizer.model").write_bytes(written.getvalue())
    said = {"tokenizer_class": name, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"} | tokens
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())


@pytest.mark.parametrize("kind", ["llama", "gemma"])
def test_a_sentencepiece_model_alone_is_read(tmp_path, kind):
    model = snapshot(tmp_path, kind)
    tokenizer = readers.load_tokenizer(tmp_path)
    for text in (*LINES[:3], "two  spaces", "日本語 é"):
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == model.encode(text), text
    assert tokenizer.padding_side == "left"


def test_one_that_transformers_reads_in_another_way_is_one_sentence(tmp_path):
    snapshot(tmp_path, "of another kind")
    with pytest.raises(UserError, match=r"makes another tokenizer of .*tokenizer\.model than SentencePiece, which"):
        readers.load_tokenizer(tmp_path)


@pytest.mark.parametrize(("said", "command"), [
    (import_utils.TIMM_IMPORT_ERROR, "pip install timm`, or"),
    (import_utils.SENTENCEPIECE_IMPORT_ERROR, "pip install sentencepiece`, or"),
    (import_utils.TORCHVISION_IMPORT_ERROR, "pip install torchvision` from where torch was installed, or"),
    ("No module named 'einops'", "pip install einops`, or"),
])  # fmt: skip
def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(said, command):
    assert f"run `{command}" in readers.missing_package("it", ImportError(said.format("Model")))


def test_a_processor_that_torchvision_alone_can_make_is_one_sentence(tmp_path):
    tiny_models.llava(tmp_path)
    (tmp_path / "processor_config.json").write_text(json.dumps({"processor_class": "LlavaProcessor"}))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "Llama4ImageProcessor"}))
    with pytest.raises(UserError, match="needs the package torchvision, which is not installed"):
        readers.load_processor(tmp_path)
