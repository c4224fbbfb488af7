"""Reading tokenizers of snapshots that have only a SentencePiece model, held against SentencePiece itself."""

import io
import json

import pytest
import sentencepiece

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
