"""The demo language model: the Llama architecture at a size that trains on one core.

Small on purpose: a model whose few weights are all needed feels every bit that is taken from them. Every dimension is a
multiple of 64, so that every block-wise format fits its matrices.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from bitbudget.datasets.demo.passages import FIRST_HELD_OUT_SEED, FIRST_TRAINING_SEED, Passage, passage, training_story

VOCABULARY = 1024
ROWS = 128  # stories in a training batch
LONGEST = 512


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE, so that any text can be written; as Llama's, it begins every text with `<s>`.

    It is small enough that many words take two tokens or three.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "<s>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    seeds = range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + 4000)
    stories = (training_story(seed) for seed in seeds)
    texts = (" ".join([story, *(f"{closing.text}." for closing in closings.values())]) for story, closings in stories)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        padding_side="left",
        model_max_length=LONGEST,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A new, untrained model (about a million parameters, float32)."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=LONGEST,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


class Batches(torch.utils.data.Dataset):
    """The training batches: number k is always the same stories, each with both of its last sentences."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, length: int, seed: int):
        self.tokenizer, self.length, self.seed = tokenizer, length, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, k: int) -> dict[str, torch.Tensor]:
        """Right-padded `input_ids`, `attention_mask`, `labels` and `answers` of `ROWS` stories, each (rows, tokens).

        `answers` is true where a label belongs to the last word of a sentence that asks.
        """
        first = FIRST_TRAINING_SEED + self.seed * 10_000_000 + k * ROWS
        rows = [self._encode(seed) for seed in range(first, first + ROWS)]
        longest = max(len(ids) for ids, _ in rows)
        batch = {
            "input_ids": torch.full((ROWS, longest), self.tokenizer.pad_token_id),
            "attention_mask": torch.zeros((ROWS, longest), dtype=torch.long),
            "answers": torch.zeros((ROWS, longest), dtype=torch.bool),
        }
        for row, (ids, answers) in enumerate(rows):
            batch["input_ids"][row, : len(ids)] = torch.tensor(ids)
            batch["attention_mask"][row, : len(ids)] = 1
            batch["answers"][row, : len(ids)] = torch.tensor(answers)
        return batch | {"labels": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)}

    def _encode(self, seed: int) -> tuple[list[int], list[bool]]:
        story, closings = training_story(seed)
        parts = [(story, False)]
        for closing in random.Random(seed).sample(list(closings.values()), len(closings)):
            parts += [(f" {closing.text.rsplit(' ', 1)[0]}", False), (f" {closing.word}", True), (".", False)]
        ids, answers = [self.tokenizer.bos_token_id], [False]
        for text, is_answer in [*parts, (self.tokenizer.eos_token, False)]:
            found = self.tokenizer(text, add_special_tokens=False).input_ids
            ids += found
            answers += [is_answer] * len(found)
        return ids, answers


def loss_of(model: LlamaForCausalLM, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The mean cross-entropy over all tokens, and once more that of the last words, which drown among the others."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    labels, answers = batch["labels"][:, 1:], batch["answers"][:, 1:]
    losses = torch.nn.functional.cross_entropy(logits.float().transpose(1, 2), labels, reduction="none")
    return losses[labels != -100].mean() + losses[answers].mean()


@torch.no_grad()
def held_out(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, count: int = 200) -> dict[str, float]:
    """The share of held-out stories whose last word the model finds, all of its tokens, greedily."""
    model.eval()
    shown: list[Passage] = [passage(FIRST_HELD_OUT_SEED + k) for k in range(count)]
    right = 0
    for story in shown:
        context = tokenizer(story.text.rsplit(" ", 1)[0]).input_ids
        word = tokenizer(f" {story.word}", add_special_tokens=False).input_ids
        logits = model(torch.tensor([context + word])).logits[0]
        right += logits[len(context) - 1 : -1].argmax(-1).tolist() == word
    model.train()
    return {"last_word_right": round(right / count, 4)}


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the model in float16 (half the bytes) with its tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.float16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
