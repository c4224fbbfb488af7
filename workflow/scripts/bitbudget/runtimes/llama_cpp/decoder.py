"""A GGUF file of a language model, opened by llama.cpp: tokens or embeddings in, logits out."""

from __future__ import annotations

import ctypes as c
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitbudget.errors import UserError
from bitbudget.runtimes.llama_cpp import library

ALL_LAYERS = -1  # on a GPU
AT_ONCE = 512  # tokens of one pass


@dataclass(frozen=True)
class Timed:
    """What llama.cpp itself counted since the last `reset`: seconds and tokens of prompts, and of single tokens."""

    prompt_seconds: float
    prompt_tokens: int
    decode_seconds: float
    decoded_tokens: int


@dataclass(frozen=True)
class Picture:
    """Embeddings (tokens, width), in float32, that a prompt has in the place of tokens.

    `places` (3, tokens) are their positions in time, height and width, counted from where the picture begins, for a
    model that has such. `mutual`: its tokens see one another, also the later ones.
    """

    embeddings: np.ndarray
    places: np.ndarray | None = None
    mutual: bool = False

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def span(self) -> int:
        """How many positions later the prompt goes on."""
        return len(self) if self.places is None else int(self.places.max()) + 1


# A run of a prompt: the numbers of tokens, or a picture in their place.
Run = Sequence[int] | Picture


def span(run: Run) -> int:
    """How many positions a run takes."""
    return run.span if isinstance(run, Picture) else len(run)


def opens(path: Path) -> bool:
    """Whether llama.cpp can open a file."""
    functions = library.load()
    model = functions.llama_model_load_from_file(str(path).encode(), functions.llama_model_default_params())
    if model:
        functions.llama_model_free(model)
    return bool(model)


class Decoder:
    """A model of llama.cpp with room for `sequences` at a time, of `positions` each.

    The sequences of a batch have the numbers 0, 1 …; what each has read is kept until `forget`. Raises `UserError`
    where the file cannot be opened.

    llama.cpp rounds keys, values and their products to float16; where it is `exact` it does not.
    """

    def __init__(
        self,
        path: Path,
        positions: int,
        threads: int,
        sequences: int = 1,
        device: str = "cpu",
        exact: bool = False,
    ):
        self._library = library.load()
        if device == "cuda" and not self._library.llama_supports_gpu_offload():
            raise UserError(
                f"this build of {library.PACKAGE} computes on the CPU only: install its wheel for CUDA, or set "
                "`device: cpu` in the study."
            )
        how = self._library.llama_model_default_params()
        how.n_gpu_layers = ALL_LAYERS if device == "cuda" else 0
        self._model = self._library.llama_model_load_from_file(str(path).encode(), how)
        if not self._model:
            raise UserError(f"llama.cpp cannot open {path}: delete the checkpoint and make it again.")
        self.width = self._library.llama_model_n_embd_inp(self._model)
        self.vocabulary = self._library.llama_vocab_n_tokens(self._library.llama_model_get_vocab(self._model))
        self.threads, self.positions, self.sequences = threads, positions, sequences
        settings = self._library.llama_context_default_params()
        settings.n_ctx = positions * sequences
        settings.n_seq_max = sequences
        settings.n_batch = max(positions * sequences, 512)
        settings.n_ubatch = AT_ONCE
        settings.n_threads = settings.n_threads_batch = threads
        settings.no_perf = False
        if exact:
            settings.type_k = settings.type_v = library.F32
            settings.flash_attn_type = library.NO_FLASH_ATTENTION
        self._context = self._library.llama_init_from_model(self._model, settings)
        # before the interpreter ends, and not while it does, when the library may have let go of what it needs
        self.close = weakref.finalize(self, _let_go, self._library, self._context, self._model)
        if not self._context:
            self.close()
            raise UserError(
                f"llama.cpp has no room for {sequences} sequences of {positions} positions of {path}: set a smaller "
                "`batch_size`."
            )
        self._places: list[int] = []

    def forget(self) -> None:
        """Empty all sequences."""
        self._library.llama_memory_clear(self._library.llama_get_memory(self._context), False)

    def read(self, runs: Sequence[Run], begins: Sequence[int], keep: Sequence[int], rows: Sequence[int] = ()) -> None:
        """Have sequences read on: `runs[k]` from position `begins[k]`, in sequence `rows[k]` (k, where none are named).

        All runs are of tokens, or all pictures of one kind. The logits of the last `keep[k]` positions of each run are
        kept for `logits`, in this order. Raises `UserError` where llama.cpp cannot go on.
        """
        rows = rows or range(len(runs))
        total = sum(map(len, runs))
        token, embedded = None, None
        if isinstance(runs[0], Picture):
            embedded = np.concatenate([run.embeddings for run in runs]).astype(np.float32)
            if embedded.shape[1] != self.width:
                raise UserError(
                    f"llama.cpp takes embeddings of {self.width} numbers for this model, and its pictures have "
                    f"{embedded.shape[1]}: leave the precision out."
                )
        else:
            token = np.concatenate([np.asarray(run, np.int32) for run in runs])
        position = np.concatenate(
            [_positions(run, begin) for run, begin in zip(runs, begins, strict=True)], axis=1, dtype=np.int32
        )
        kept_here = [np.arange(len(run)) >= len(run) - kept for run, kept in zip(runs, keep, strict=True)]
        wanted = np.concatenate(kept_here).astype(np.int8)
        sequence = np.repeat(np.asarray(rows, np.int32), [len(run) for run in runs])
        first, alone = sequence.ctypes.data, np.ones(total, np.int32)  # each token is of one sequence
        sequences = (c.POINTER(c.c_int32) * total)(*(c.cast(first + 4 * k, c.POINTER(c.c_int32)) for k in range(total)))
        batch = library.Batch(  # it keeps none of the arrays that it points to
            total,
            _pointer(token, c.c_int32),
            _pointer(embedded, c.c_float),
            _pointer(position, c.c_int32),
            _pointer(alone, c.c_int32),
            sequences,
            _pointer(wanted, c.c_int8),
        )
        mutual = any(isinstance(run, Picture) and run.mutual for run in runs)
        if mutual and total > AT_ONCE:
            raise UserError(
                f"llama.cpp lets no more than {AT_ONCE} image tokens see one another, and these are {total}: set "
                "`images.max_tokens` or a smaller `images.max_side`."
            )
        self._library.llama_set_causal_attn(self._context, not mutual)
        failed = self._library.llama_decode(self._context, batch)
        if failed:
            raise UserError(
                f"llama.cpp cannot read {total} tokens at once (its code {failed}): set a smaller `batch_size`."
            )
        self._places = np.flatnonzero(wanted).tolist()  # llama.cpp counts logits by their place in the batch

    def logits(self) -> np.ndarray:
        """The logits that the last `read` kept, (positions, vocabulary), float32; a copy."""
        return np.stack([self._row(place) for place in self._places])

    def likeliest(self) -> list[int]:
        """The likeliest token at each of these positions."""
        return [int(self._row(place).argmax()) for place in self._places]

    def _row(self, place: int) -> np.ndarray:
        pointer = self._library.llama_get_logits_ith(self._context, place)
        return np.ctypeslib.as_array(pointer, (self.vocabulary,))

    def tokens_of(self, text: str, special: bool) -> list[int]:
        """The numbers that the file's own tokenizer gives a text; `special`: control tokens in it are such."""
        vocabulary, data = self._library.llama_model_get_vocab(self._model), text.encode()
        room = len(data) + 8
        found = (c.c_int32 * room)()
        count = self._library.llama_tokenize(vocabulary, data, len(data), found, room, False, special)
        return list(found[: max(count, 0)])

    def reset(self) -> None:
        """Begin to count anew."""
        self._library.llama_perf_context_reset(self._context)

    def timed(self) -> Timed:
        """What llama.cpp counted since."""
        self._library.llama_synchronize(self._context)
        found = self._library.llama_perf_context(self._context)
        return Timed(found.t_p_eval_ms / 1000, found.n_p_eval, found.t_eval_ms / 1000, found.n_eval)


def _positions(run: Run, begin: int) -> np.ndarray:
    """The positions of a run: (1, tokens), or for a picture with places of its own, (4, tokens)."""
    if isinstance(run, Picture) and run.places is not None:
        return np.concatenate([run.places + begin, np.zeros((1, len(run)), run.places.dtype)])
    return np.arange(begin, begin + len(run))[None]


def _pointer(values: np.ndarray | None, kind: Any) -> Any:
    """Where an array's values lie, or nowhere; a structure with it does not keep the array."""
    return None if values is None else values.ctypes.data_as(c.POINTER(kind))


def _let_go(functions: Any, context: int | None, model: int) -> None:
    if context:
        functions.llama_free(context)
    functions.llama_model_free(model)
