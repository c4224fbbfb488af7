"""A model that sees: torch encodes its pictures, and llama.cpp reads its prompts and writes its answers.

Everything before the decoder is the torch model's, in whatever formats its vision tower and projector have; llama.cpp
reads the very tokens and embeddings that transformers' decoder would (`bitbudget.runtimes.llama_cpp.reached`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bitbudget.errors import UserError
from bitbudget.runtimes.llama_cpp import reached
from bitbudget.runtimes.llama_cpp.decoder import Decoder, Run

ROUND = 256  # positions of a sequence come in multiples of it


@dataclass
class Logits:
    """What `forward` gives: logits of each position, (rows, positions, vocabulary), float32; of padding, zeros."""

    logits: torch.Tensor


class Room:
    """A GGUF file, opened with as much room as was ever needed, and emptied whenever it is asked for."""

    def __init__(self, path: Path, device: str, exact: bool):
        self.path, self.device, self.exact, self._opened = path, device, exact, None

    def decoder(self, positions: int, sequences: int) -> Decoder:
        """The file's model with room for so many sequences of so many positions, all empty."""
        threads, had = torch.get_num_threads(), self._opened
        if had and had.positions >= positions and had.sequences >= sequences and had.threads == threads:
            had.forget()
            return had
        if had:
            positions, sequences = max(positions, had.positions), max(sequences, had.sequences)
            had.close()
        self._opened = Decoder(self.path, -(-positions // ROUND) * ROUND, threads, sequences, self.device, self.exact)
        return self._opened


class Step(nn.Module):
    """One pass of the decoder: over the prompts of a batch, or one more token of each."""

    def can_generate(self) -> bool:
        """Whether it is what is called once for each token of an answer, which `PhaseTimer` looks for."""
        return True

    def forward(self, work: Any) -> Any:
        """Do it."""
        return work()


class SeeingModel(nn.Module):
    """A model of transformers, to those who ask it, with its decoder's work done by llama.cpp.

    `rest` is the torch model, of which the decoder's, the embeddings' and the head's weights are never used.
    """

    def __init__(self, rest: nn.Module, path: Path, device: str = "cpu", exact: bool = False):
        super().__init__()
        self.step, self.rest = Step(), reached.divert(rest)
        self.config, self.generation_config = rest.config, rest.generation_config
        self.dtype, self.device = rest.dtype, torch.device(device)
        self.room = Room(path, device, exact)

    @torch.inference_mode()
    def generate(self, generation_config: Any, **inputs: Any) -> torch.Tensor:
        """Greedy answers to a batch, after the prompts: (rows, prompt and new tokens), filled up after their ends."""
        how, ids = generation_config, inputs["input_ids"]
        if how.num_beams and how.num_beams > 1:
            raise UserError("llama.cpp decodes greedily here: set `num_beams: 1` under `generation` in the study.")
        ends = how.eos_token_id if isinstance(how.eos_token_id, list) else [how.eos_token_id]
        ends = [one for one in ends if one is not None]
        least, written = how.min_new_tokens or 0, [[] for _ in ids]
        lengths: list[int] = []

        def read() -> list[int]:
            prompts = reached.runs(self.rest, inputs)
            lengths.extend(sum(map(len, prompt)) for prompt in prompts)
            self._decoder = self.room.decoder(max(lengths) + how.max_new_tokens, len(prompts))
            last = _read_prompts(self._decoder, prompts, keep_all=False)
            return _likeliest((rows[-1] for rows in last), ends if least > 0 else ())

        def go_on(rows: list[int], barred: Sequence[int]) -> list[int]:
            places = [lengths[row] + len(written[row]) - 1 for row in rows]
            self._decoder.read([[written[row][-1]] for row in rows], places, [1] * len(rows), rows)
            return _likeliest(self._decoder.logits(), barred) if barred else self._decoder.likeliest()

        rows, found = list(range(len(ids))), self.step(read)
        while True:
            for row, token in zip(rows, found, strict=True):
                written[row].append(token)
            rows = [row for row in rows if written[row][-1] not in ends and len(written[row]) < how.max_new_tokens]
            if not rows:
                break
            barred = ends if len(written[rows[0]]) < least else ()
            found = self.step(lambda rows=rows, barred=barred: go_on(rows, barred))
        fill, longest = how.pad_token_id or 0, max(map(len, written))
        new = torch.tensor([one + [fill] * (longest - len(one)) for one in written], device=ids.device)
        return torch.cat([ids, new], 1)

    @torch.inference_mode()
    def forward(self, **inputs: Any) -> Logits:
        """The logits at every position of the prompts of a batch."""
        inputs = {key: value for key, value in inputs.items() if key not in ("use_cache", "position_ids")}
        keep = inputs.pop("logits_to_keep", 0)
        prompts = reached.runs(self.rest, inputs)
        decoder = self.room.decoder(max(sum(map(len, prompt)) for prompt in prompts), len(prompts))
        found = _read_prompts(decoder, prompts, keep_all=True)
        ids = inputs["input_ids"]
        out = torch.zeros(*ids.shape, decoder.vocabulary)
        for row, (kept, one) in enumerate(zip(inputs["attention_mask"].bool().cpu(), found, strict=True)):
            out[row][kept] = torch.from_numpy(one)
        return Logits(out[:, -keep:].to(ids.device))


def _read_prompts(decoder: Decoder, prompts: list[list[Run]], keep_all: bool) -> list[np.ndarray]:
    """Have every prompt read, in a sequence of its own; returns the logits of each, of all positions or of the last.

    The next runs of several prompts are read at once where they are of one kind.
    """
    found: list[list[np.ndarray]] = [[] for _ in prompts]
    begins, left = [0] * len(prompts), [list(prompt) for prompt in prompts]
    while any(left):
        waiting = [row for row, prompt in enumerate(left) if prompt]
        tokens = [row for row in waiting if not isinstance(left[row][0], np.ndarray)]
        rows = tokens or waiting
        now = [left[row].pop(0) for row in rows]
        keep = [len(run) if keep_all else int(not left[row]) for row, run in zip(rows, now, strict=True)]
        decoder.read(now, [begins[row] for row in rows], keep, rows)
        logits, begin = decoder.logits() if any(keep) else np.empty((0, 0)), 0
        for row, run, kept in zip(rows, now, keep, strict=True):
            if kept:
                found[row].append(logits[begin : begin + kept])
            begins[row], begin = begins[row] + len(run), begin + kept
    return [np.concatenate(one) for one in found]


def _likeliest(rows: Iterable[np.ndarray], barred: Sequence[int]) -> list[int]:
    """The likeliest token of each row of logits, (vocabulary,), but for those that are barred."""
    chosen = []
    for row in rows:
        row = row.copy()
        row[list(barred)] = -np.inf
        chosen.append(int(row.argmax()))
    return chosen
