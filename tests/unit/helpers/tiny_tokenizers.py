"""Small tokenizers of the kinds that language models have, written as the files that their snapshots hold.

All know the same few words, so that a test can state the very tokens of a text.
"""

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

# Each is one token, and so is each with a space before it; other words fall into beginnings of these and letters.
WORDS = ["the", "cat", "sat", "on", "mat", "dog", "was", "in", "house", "and", "she", "saw", "red", "car", "he", "went"]
WORDS += ["home", "to", "his", "old", "friend", "12"]
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_SPLIT = QWEN_SPLIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def merges_of(space: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Tokens and merges that build every word, and every word after a space, letter by letter from the left.

    Those with the space come first, since a merge that comes earlier is preferred.
    """
    tokens, merges = [], []
    for word in [*(space + word for word in WORDS), *WORDS]:
        for length in range(2, len(word) + 1):
            if word[:length] not in tokens:
                tokens.append(word[:length])
                merges.append((word[: length - 1], word[length - 1]))
    return tokens, merges


def byte_level(specials: list[str], split: str | None = None) -> Tokenizer:
    """GPT-2's kind: every byte is a letter, a space belongs to the word after it. Specials come first, from 0."""
    tokens, merges = merges_of("Ġ")
    vocabulary = {token: number for number, token in enumerate([*specials, *ALPHABET, *tokens])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split is None)
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), "isolated"), whole]) if split else whole
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in specials])
    return tokenizer


def begin_with(tokenizer: Tokenizer, token: str) -> Tokenizer:
    """The tokenizer that puts this token before every text by itself."""
    template = processors.TemplateProcessing(
        single=f"{token} $A", pair=f"{token} $A {token} $B", special_tokens=[(token, tokenizer.token_to_id(token))]
    )
    tokenizer.post_processor = template
    return tokenizer


def gpt_neox(folder: Path) -> Path:
    """Pythia's: byte-level, with `<|endoftext|>` as its beginning, which it never writes, and no padding token."""
    tokenizer = byte_level(["<|endoftext|>", "<|padding|>"])
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False)
    end = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    return _write(folder, tokenizer, "GPTNeoXTokenizer", add_prefix_space=False, **end)


def qwen(folder: Path) -> Path:
    """Qwen2's: byte-level, and no beginning at all."""
    tokenizer = byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], QWEN_SPLIT)
    tokenizer.normalizer = normalizers.NFC()
    return _write(
        folder, tokenizer, "Qwen2Tokenizer", add_bos_token=False, bos_token=None, unk_token=None,
        eos_token="<|endoftext|>", pad_token="<|endoftext|>",
    )  # fmt: skip


def opt(folder: Path) -> Path:
    """OPT's: byte-level, begins with `</s>`, in vocab.json and merges.txt; nothing but its settings says so."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = byte_level(["<s>", "<pad>", "</s>", "<unk>"])
    (folder / "vocab.json").write_text(json.dumps(tokenizer.get_vocab()))
    pairs = "\n".join(" ".join(pair) for pair in merges_of("Ġ")[1])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{pairs}\n")
    end = {"content": "</s>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": True}
    tokens = {"bos_token": end, "eos_token": end, "unk_token": end, "pad_token": end | {"content": "<pad>"}}
    typed = {name: token | {"__type": "AddedToken"} for name, token in tokens.items()}
    config = {"errors": "replace", "add_prefix_space": False, "add_bos_token": True, "tokenizer_class": "GPT2Tokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | typed))
    (folder / "special_tokens_map.json").write_text(json.dumps(tokens))
    return folder


def llama2(folder: Path, scheme: str = "legacy") -> Path:
    """Llama 2's: as SentencePiece writes them, a space is the letter `▁`, and every text begins with one and `<s>`.

    `legacy` puts the first `▁` into the text itself; `first` and `always` leave it to the splitting into words, where
    `always` puts one before every stretch between special tokens.
    """
    specials = ["<unk>", "<s>", "</s>"]
    letters = [f"<0x{byte:02X}>" for byte in range(256)]
    letters += ["▁", *sorted({letter for word in WORDS for letter in word}), *".,?!"]
    tokens, merges = merges_of("▁")
    vocabulary = {token: number for number, token in enumerate([*specials, *letters, *tokens])}
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    if scheme == "legacy":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme=scheme, split=False)
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(parts)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in specials])
    return _write(
        folder, begin_with(tokenizer, "<s>"), "LlamaTokenizer", add_bos_token=True, add_eos_token=False,
        legacy=scheme != "first", bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token=None,
    )  # fmt: skip


def llama3(folder: Path) -> Path:
    """Llama 3's: byte-level, and `<|begin_of_text|>` by a template; no padding token."""
    tokenizer = byte_level(["<|begin_of_text|>", "<|end_of_text|>"], LLAMA3_SPLIT)
    begin_with(tokenizer, "<|begin_of_text|>")
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), tokenizer.post_processor])
    ends = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
    return _write(folder, tokenizer, "PreTrainedTokenizerFast", **ends)


def smollm(folder: Path) -> Path:
    """SmolLM2's: byte-level, every digit a token of its own, though it bears the name of GPT-2's, whose digits join."""
    tokenizer = byte_level(["<|endoftext|>", "<|im_start|>"])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    end = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    return _write(folder, tokenizer, "GPT2Tokenizer", add_prefix_space=False, **end)


def _write(folder: Path, tokenizer: Tokenizer, name: str, **settings: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name, **settings}))
    return folder
