"""A language model that llama.cpp runs, in the form in which the scripts use one of transformers.

`forward` gives logits and `generate` answers, for as many rows at once as a batch has. Padding is left out before
llama.cpp sees a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bitbudget.errors import UserError
from bitbudget.runtimes.llama_cpp.seeing import Logits, Room, Step

AT_ONCE = 64  # rows: llama.cpp has room for 256 sequences, and each takes memory


class LlamaCpp(nn.Module):
    """A model whose texts are read and written by llama.cpp, from the GGUF file at `path`.

    `config` and `generation_config` are those of the original.
    """

    vision_modules: tuple[str, ...] = ()  # it sees nothing; asked for by `families.parts`

    def __init__(self, path: Path, config: Any, generation_config: Any, device: str, exact: bool = False):
        super().__init__()
        self.config, self.generation_config, self.device = config, generation_config, torch.device(device)
        self.vocabulary = config.get_text_config().vocab_size
        self.room, self.step = Room(path, device, exact), Step()

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, logits_to_keep: int = 0, use_cache: bool = False
    ) -> Logits:
        """Logits (rows, positions, vocabulary) of the last positions of each row, in float32; 0 keeps all.

        Rows are padded on the left. Where one is shorter than what is kept, the logits before it are no numbers.
        """
        prompts, count = _without_padding(input_ids, attention_mask), logits_to_keep or input_ids.shape[1]
        found = torch.full((len(prompts), count, self.vocabulary), torch.nan)
        for first in range(0, len(prompts), AT_ONCE):
            part = prompts[first : first + AT_ONCE]
            keep = [min(count, len(prompt)) for prompt in part]
            decoder = self.room.decoder(max(map(len, part)), len(part))
            decoder.read(part, [0] * len(part), keep)
            logits = np.split(decoder.logits(), np.cumsum(keep)[:-1])
            for row, one in enumerate(logits, start=first):
                found[row, count - len(one) :] = self._of_vocabulary(torch.from_numpy(one))
        return Logits(found.to(input_ids.device))

    @torch.inference_mode()
    def generate(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, generation_config: Any) -> torch.Tensor:
        """Greedy answers after their prompts, (rows, tokens), as `generate` of transformers gives them.

        Raises `UserError` where beams are asked for.
        """
        how, prompts = generation_config, _without_padding(input_ids, attention_mask)
        if how.num_beams and how.num_beams > 1:
            raise UserError("llama.cpp decodes greedily here: set `num_beams: 1` under `generation` in the study.")
        ends = how.eos_token_id if isinstance(how.eos_token_id, list) else [how.eos_token_id]
        ends = [one for one in ends if one is not None and one < self.vocabulary]
        rows: list[list[int]] = []
        for first in range(0, len(prompts), AT_ONCE):
            rows += self._written(prompts[first : first + AT_ONCE], how.max_new_tokens, how.min_new_tokens or 0, ends)
        fill = how.pad_token_id if how.pad_token_id is not None else (ends or [0])[0]
        longest = max(map(len, rows))
        new = torch.tensor([row + [fill] * (longest - len(row)) for row in rows])
        return torch.cat([input_ids, new.to(input_ids)], dim=1)

    def _written(self, prompts: list[list[int]], most: int, least: int, ends: list[int]) -> list[list[int]]:
        """What is written after each prompt."""
        decoder = self.room.decoder(max(map(len, prompts)) + most, len(prompts))
        written: list[list[int]] = [[] for _ in prompts]

        def read(rows: list[int], runs: Sequence[list[int]]) -> list[int]:
            begins = [len(prompts[row]) + len(written[row]) - len(run) for row, run in zip(rows, runs, strict=True)]
            decoder.read(runs, begins, [1] * len(rows), rows)
            logits = decoder.logits()[:, : self.vocabulary]
            if len(written[rows[0]]) < least:
                logits[:, ends] = -np.inf
            return logits.argmax(-1).tolist()

        rows, runs = list(range(len(prompts))), prompts
        while True:
            found = self.step(lambda rows=rows, runs=runs: read(rows, runs))
            for row, token in zip(rows, found, strict=True):
                written[row].append(token)
            rows = [row for row in rows if written[row][-1] not in ends and len(written[row]) < most]
            if not rows:
                return written
            runs = [written[row][-1:] for row in rows]

    def _of_vocabulary(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits of the original's tokens: those that a file lacks get what its least likely one has."""
        missing = self.vocabulary - logits.shape[-1]
        if missing <= 0:
            return logits[..., : self.vocabulary]
        least = logits.amin(-1, keepdim=True)
        return torch.cat([logits, least.expand(*logits.shape[:-1], missing)], dim=-1)


def _without_padding(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> list[list[int]]:
    return [row[mask.bool()].tolist() for row, mask in zip(input_ids, attention_mask, strict=True)]
