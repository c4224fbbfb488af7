"""llama.cpp's image code (mtmd) with a file of a vision tower and its projector: pixels in, embeddings out.

It is given one tile at a time, of the size that the tower takes, so it cuts and resizes nothing. It puts the words that
belong around a tile into tokens, for which it wants a language model; these tokens are not used. So it gets an empty
one: a vocabulary of bytes, and one layer of zeros.
"""

from __future__ import annotations

import ctypes as c
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from bitbudget.errors import UserError
from bitbudget.runtimes.llama_cpp import library

IMAGE = 1  # the kind of a chunk
HEAD = 32  # numbers of the empty model's one head


class Encoder:
    """A file of a vision tower and projector, opened. `width` is that of the embeddings that it gives.

    Raises `UserError` where llama.cpp cannot open it.
    """

    def __init__(self, path: Path, width: int, threads: int, device: str = "cpu"):
        self._library, self.path, self.width, self.threads = library.load(), path, width, threads
        if device == "cuda" and not self._library.llama_supports_gpu_offload():
            raise UserError(
                f"this build of {library.PACKAGE} computes on the CPU only: install its wheel for CUDA, or set "
                "`device: cpu` in the study."
            )
        with tempfile.TemporaryDirectory() as folder:
            empty = Path(folder) / "empty.gguf"
            _write_empty(empty, width)
            settings = self._library.llama_model_default_params()
            settings.n_gpu_layers = 0
            self._model = self._library.llama_model_load_from_file(str(empty).encode(), settings)
        how = self._library.mtmd_context_params_default()
        how.use_gpu, how.n_threads, how.print_timings, how.warmup = device == "cuda", threads, False, False
        how.flash_attn_type = library.FLASH_ATTENTION
        self._context = self._library.mtmd_init_from_file(str(path).encode(), self._model, how)
        self.close = weakref.finalize(self, _let_go, self._library, self._context, self._model)
        if not self._context:
            self.close()
            raise UserError(f"llama.cpp cannot open {path}: give vision another format, or make the checkpoint again.")

    def encode(self, tile: np.ndarray) -> np.ndarray:
        """The embeddings (tokens, width), float32, of a tile (height, width, 3) of bytes.

        Raises `UserError` where llama.cpp cannot encode it.
        """
        functions, pixels = self._library, np.ascontiguousarray(tile, np.uint8)
        bitmap = functions.mtmd_bitmap_init(pixels.shape[1], pixels.shape[0], pixels.ctypes.data)
        chunks = functions.mtmd_input_chunks_init()
        try:
            parts = (c.POINTER(library.Part) * 1)(c.pointer(library.Part(None, bitmap)))
            failed = functions.mtmd_tokenize_from_parts(self._context, chunks, parts, 1, False)
            found = (
                functions.mtmd_input_chunks_get(chunks, k) for k in range(functions.mtmd_input_chunks_size(chunks))
            )
            # the tile itself; where more follow, they are the same one again
            chunk = next((one for one in found if functions.mtmd_input_chunk_get_type(one) == IMAGE), None)
            if failed or chunk is None or functions.mtmd_encode_chunk(self._context, chunk):
                raise UserError(f"llama.cpp cannot encode a picture with {self.path}: give vision another format.")
            shape = functions.mtmd_input_chunk_get_n_tokens(chunk), self.width
            return np.ctypeslib.as_array(functions.mtmd_get_output_embd(self._context), shape).copy()
        finally:
            functions.mtmd_input_chunks_free(chunks)
            functions.mtmd_bitmap_free(bitmap)


def _write_empty(path: Path, width: int) -> None:
    """A language model of this width that knows nothing."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 2, *[gguf.TokenType.BYTE] * 256]
    writer.add_context_length(HEAD)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(HEAD)
    writer.add_head_count(1)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_rope_dimension_count(HEAD)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros(width, np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up"):
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros((HEAD, width), np.float16))
    for name in ("attn_output", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros((width, HEAD), np.float16))
    writer.add_tensor("token_embd.weight", np.zeros((len(tokens), width), np.float16))
    writer.add_tensor("output_norm.weight", np.zeros(width, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _let_go(functions: Any, context: int | None, model: int | None) -> None:
    if context:
        functions.mtmd_free(context)
    if model:
        functions.llama_model_free(model)
