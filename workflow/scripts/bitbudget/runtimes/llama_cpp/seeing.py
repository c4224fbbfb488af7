"""A model that sees: torch encodes its pictures, and llama.cpp reads its prompts and writes its answers.

Everything before the decoder is the torch model's, in whatever formats its vision tower and projector have; llama.cpp
reads the very tokens and embeddings that transformers' decoder would (`bitbudget.runtimes.llama_cpp.reached`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from bitbudget.runtimes.llama_cpp import reached
from bitbudget.runtimes.llama_cpp.model import LlamaCpp, Prompt


class SeeingModel(LlamaCpp):
    """A model of transformers, to those who ask it, with its decoder's work done by llama.cpp.

    `rest` is the torch model, of which the decoder's, the embeddings' and the head's weights are never used, and `seen`
    are the paths of those of its modules that encode pictures.
    """

    def __init__(self, path: Path, rest: nn.Module, seen: tuple[str, ...], device: str, exact: bool = False):
        super().__init__(path, rest.config, rest.generation_config, device, exact)
        self.rest = reached.divert(rest)
        self.vision_modules = tuple(f"rest.{path}" for path in seen)

    def prompts(self, **inputs: Any) -> list[Prompt]:
        """What each row reads: its tokens, and its pictures, which are encoded now."""
        return reached.runs(self.rest, inputs)
