"""A language model that llama.cpp runs, in the form in which the scripts use one of transformers.

`forward` gives logits and `generate` answers, for as many rows at once as a batch has. What a row reads, without its
padding, are runs: of token numbers, and in a model that sees, of pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bitbudget.errors import UserError
from bitbudget.runtimes.llama_cpp.decoder import Decoder, Picture, Run, Timed, span

AT_ONCE = 64  # rows: llama.cpp has room for 256 sequences, and each takes memory
ROUND = 256  # positions of a sequence come in multiples of it
Prompt = list[Run]


@dataclass
class Logits:
    """What `forward` gives: (rows, positions, vocabulary), float32."""

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
            self._opened = None
            had.close()
            both = max(positions, had.positions), max(sequences, had.sequences)
            # a long prompt after a large batch, or the other way round, does not need all of both
            if both[0] * both[1] <= 2 * max(positions * sequences, had.positions * had.sequences):
                positions, sequences = both
        rounded = -(-positions // ROUND) * ROUND
        self._opened = Decoder(self.path, rounded, threads, sequences, self.device, self.exact)
        return self._opened


class Step(nn.Module):
    """One pass of the decoder: over the prompts of a batch, or one more token of each."""

    def can_generate(self) -> bool:
        """Whether it is what is called once for each token of an answer, which `PhaseTimer` looks for."""
        return True

    def forward(self, work: Callable[[], Any]) -> Any:
        """Do it."""
        return work()


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

    def prompts(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> list[Prompt]:
        """What each row reads."""
        return [[row[mask.bool()].tolist()] for row, mask in zip(input_ids, attention_mask, strict=True)]

    def make_room(self, positions: int, sequences: int) -> None:
        """Open the file with so much room now, so that no answer has to wait for it."""
        self.room.decoder(positions, min(sequences, AT_ONCE))

    @torch.inference_mode()
    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int = 0,
        use_cache: bool = False,
        **more: Any,
    ) -> Logits:
        """Logits (rows, positions, vocabulary) of the last positions of each row, in float32; 0 keeps all.

        Rows are padded on the left. Where one is shorter than what is kept, the logits before it are no numbers.
        """
        prompts = self.prompts(input_ids=input_ids, attention_mask=attention_mask, **more)
        count = logits_to_keep or input_ids.shape[1]
        found = torch.full((len(prompts), count, self.vocabulary), torch.nan)
        for first in range(0, len(prompts), AT_ONCE):
            part = prompts[first : first + AT_ONCE]
            keep = [min(count, tokens_of(prompt)) for prompt in part]
            decoder = self.room.decoder(max(map(tokens_of, part)), len(part))
            for row, one in enumerate(read(decoder, part, keep), start=first):
                found[row, count - len(one) :] = self._of_vocabulary(torch.from_numpy(one))
        return Logits(found.to(input_ids.device))

    @torch.inference_mode()
    def generate(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        generation_config: Any,
        return_dict_in_generate: bool = False,
        **more: Any,
    ) -> torch.Tensor:
        """Greedy answers after their prompts, (rows, tokens), as `generate` of transformers gives them.

        There are no keys and values to return beside them: llama.cpp keeps those.

        Raises `UserError` where beams are asked for.
        """
        how = generation_config
        if how.num_beams and how.num_beams > 1:
            raise UserError("llama.cpp decodes greedily here: set `num_beams: 1` under `generation` in the study.")
        prompts = self.prompts(input_ids=input_ids, attention_mask=attention_mask, **more)
        ends = how.eos_token_id if isinstance(how.eos_token_id, list) else [how.eos_token_id]
        ends = [one for one in ends if one is not None and one < self.vocabulary]
        rows: list[list[int]] = []
        for first in range(0, len(prompts), AT_ONCE):
            rows += self._written(prompts[first : first + AT_ONCE], how.max_new_tokens, how.min_new_tokens or 0, ends)
        fill = how.pad_token_id if how.pad_token_id is not None else (ends or [0])[0]
        longest = max(map(len, rows))
        new = torch.tensor([row + [fill] * (longest - len(row)) for row in rows])
        return torch.cat([input_ids, new.to(input_ids)], dim=1)

    def own_times(self, answer: Callable[[], Any]) -> Timed:
        """What llama.cpp itself counts while an answer is given, of the kind that was given before."""
        self.room.decoder(1, 1).reset()
        answer()
        return self.room.decoder(1, 1).timed()

    def _written(self, prompts: list[Prompt], most: int, least: int, ends: list[int]) -> list[list[int]]:
        """What is written after each prompt."""
        decoder = self.room.decoder(max(map(tokens_of, prompts)) + most, len(prompts))
        written: list[list[int]] = [[] for _ in prompts]
        ahead = [sum(map(span, prompt)) for prompt in prompts]

        def likeliest(logits: list[np.ndarray], count: int) -> list[int]:
            last = np.stack([one[-1] for one in logits])[:, : self.vocabulary]
            if count < least:
                last[:, ends] = -np.inf
            return last.argmax(-1).tolist()

        def read_on(rows: list[int], count: int) -> list[int]:
            runs, begins = [[written[row][-1]] for row in rows], [ahead[row] + count - 1 for row in rows]
            decoder.read(runs, begins, [1] * len(rows), rows)
            return likeliest(list(decoder.logits()[:, None]), count)

        rows, found = (
            list(range(len(prompts))),
            self.step(lambda: likeliest(read(decoder, prompts, [1] * len(prompts)), 0)),
        )
        for count in range(1, most + 1):
            for row, token in zip(rows, found, strict=True):
                written[row].append(token)
            rows = [row for row in rows if written[row][-1] not in ends]
            if not rows or count == most:
                break
            found = self.step(lambda rows=rows, count=count: read_on(rows, count))
        return written

    def _of_vocabulary(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits of the original's tokens: those that a file lacks get what its least likely one has."""
        missing = self.vocabulary - logits.shape[-1]
        if missing <= 0:
            return logits[..., : self.vocabulary]
        least = logits.amin(-1, keepdim=True)
        return torch.cat([logits, least.expand(*logits.shape[:-1], missing)], dim=-1)


def tokens_of(prompt: Prompt) -> int:
    """How many tokens a prompt has, those of its pictures included."""
    return sum(map(len, prompt))


def read(decoder: Decoder, prompts: Sequence[Prompt], keep: Sequence[int]) -> list[np.ndarray]:
    """Have every prompt read, in a sequence of its own; returns the logits of its last `keep` positions.

    The next runs of several prompts are read at once where they are of one kind.
    """
    found: list[list[np.ndarray]] = [[] for _ in prompts]
    begins, left = [0] * len(prompts), [list(prompt) for prompt in prompts]
    while any(left):
        waiting = [row for row, prompt in enumerate(left) if prompt]
        texts = [row for row in waiting if not isinstance(left[row][0], Picture)]
        rows = texts or (waiting[:1] if left[waiting[0]][0].mutual else waiting)
        now = [left[row].pop(0) for row in rows]
        kept = [min(len(run), max(0, keep[row] - tokens_of(left[row]))) for row, run in zip(rows, now, strict=True)]
        decoder.read(now, [begins[row] for row in rows], kept, rows)
        logits = np.split(decoder.logits(), np.cumsum(kept)[:-1]) if any(kept) else [()] * len(rows)
        for row, run, one in zip(rows, now, logits, strict=True):
            found[row] += [one] if len(one) else []
            begins[row] += span(run)
    return [np.concatenate(one) for one in found]
