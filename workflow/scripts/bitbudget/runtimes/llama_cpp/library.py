"""llama.cpp's C functions, in the library that the package xllamacpp brings.

xllamacpp's own interface is a server: it takes no embeddings, and gives no logits of a prompt. Its library exports all
of llama.h, of which the few functions that are used here are declared. The structures that are handed over by value
are those of the one version that is installed by the lock; their defaults are looked at first, so that another
version's layout is refused and never read as this one's.
"""

from __future__ import annotations

import ctypes as c
import functools
from importlib import metadata
from pathlib import Path
from typing import Any

from bitbudget.errors import UserError

PACKAGE = "xllamacpp"
F32, F16 = 0, 1  # ggml's numbers of its types
NO_FLASH_ATTENTION, FLASH_ATTENTION = 0, 1
QUIET = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)
NOTHING_SAID = QUIET(lambda level, text, data: None)


class ModelParams(c.Structure):
    """`llama_model_params`; `rest` are settings that stay as they are."""

    _fields_ = (
        ("devices", c.c_void_p),
        ("tensor_buft_overrides", c.c_void_p),
        ("n_gpu_layers", c.c_int32),
        ("split_mode", c.c_int32),
        ("load_mode", c.c_int32),
        ("lazy_mode", c.c_int32),
        ("main_gpu", c.c_int32),
        ("rest", c.c_uint8 * 140),
    )


class ContextParams(c.Structure):
    """`llama_context_params`; `rest` are settings that stay as they are."""

    _fields_ = (
        ("n_ctx", c.c_uint32),
        ("n_batch", c.c_uint32),
        ("n_ubatch", c.c_uint32),
        ("n_seq_max", c.c_uint32),
        ("n_rs_seq", c.c_uint32),
        ("n_outputs_max", c.c_uint32),
        ("n_outputs_max_per_seq", c.c_uint32),
        ("n_threads", c.c_int32),
        ("n_threads_batch", c.c_int32),
        ("ctx_type", c.c_int32),
        ("rope_scaling_type", c.c_int32),
        ("pooling_type", c.c_int32),
        ("attention_type", c.c_int32),
        ("flash_attn_type", c.c_int32),
        ("rope_freq_base", c.c_float),
        ("rope_freq_scale", c.c_float),
        ("yarn", c.c_float * 4),
        ("yarn_orig_ctx", c.c_uint32),
        ("defrag_thold", c.c_float),
        ("cb_eval", c.c_void_p),
        ("cb_eval_user_data", c.c_void_p),
        ("type_k", c.c_int32),
        ("type_v", c.c_int32),
        ("callbacks", c.c_void_p * 3),
        ("embeddings", c.c_bool),
        ("offload_kqv", c.c_bool),
        ("no_perf", c.c_bool),
        ("op_offload", c.c_bool),
        ("swa_full", c.c_bool),
        ("kv_unified", c.c_bool),
        ("rest", c.c_uint8 * 130),
    )


class Batch(c.Structure):
    """`llama_batch`: tokens, or embeddings in their place, with the position and the sequence of each."""

    _fields_ = (
        ("n_tokens", c.c_int32),
        ("token", c.POINTER(c.c_int32)),
        ("embd", c.POINTER(c.c_float)),
        ("pos", c.POINTER(c.c_int32)),
        ("n_seq_id", c.POINTER(c.c_int32)),
        ("seq_id", c.POINTER(c.POINTER(c.c_int32))),
        ("logits", c.POINTER(c.c_int8)),
    )


class SeeingParams(c.Structure):
    """`mtmd_context_params`."""

    _fields_ = (
        ("use_gpu", c.c_bool),
        ("device", c.c_void_p),
        ("print_timings", c.c_bool),
        ("n_threads", c.c_int),
        ("image_marker", c.c_char_p),
        ("media_marker", c.c_char_p),
        ("flash_attn_type", c.c_int),
        ("warmup", c.c_bool),
        ("image_min_tokens", c.c_int),
        ("image_max_tokens", c.c_int),
        ("cb_eval", c.c_void_p),
        ("cb_eval_user_data", c.c_void_p),
        ("batch_max_tokens", c.c_int32),
        ("progress_callback", c.c_void_p),
        ("progress_callback_user_data", c.c_void_p),
    )


class Part(c.Structure):
    """`mtmd_input_part`: a text, or a picture."""

    _fields_ = (("text", c.c_void_p), ("bitmap", c.c_void_p))


class Timings(c.Structure):
    """`llama_perf_context_data`: milliseconds that llama.cpp itself counted, and for how many tokens."""

    _fields_ = (
        ("t_start_ms", c.c_double),
        ("t_load_ms", c.c_double),
        ("t_p_eval_ms", c.c_double),
        ("t_eval_ms", c.c_double),
        ("n_p_eval", c.c_int32),
        ("n_eval", c.c_int32),
        ("n_reused", c.c_int32),
    )


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "llama_model_default_params": (ModelParams, []),
    "llama_context_default_params": (ContextParams, []),
    "llama_log_set": (None, [QUIET, c.c_void_p]),
    "mtmd_log_set": (None, [QUIET, c.c_void_p]),
    "llama_backend_init": (None, []),
    "llama_print_system_info": (c.c_char_p, []),
    "llama_supports_gpu_offload": (c.c_bool, []),
    "llama_model_load_from_file": (c.c_void_p, [c.c_char_p, ModelParams]),
    "llama_model_free": (None, [c.c_void_p]),
    "llama_model_get_vocab": (c.c_void_p, [c.c_void_p]),
    "llama_model_n_embd_inp": (c.c_int32, [c.c_void_p]),
    "llama_vocab_n_tokens": (c.c_int32, [c.c_void_p]),
    "llama_tokenize": (
        c.c_int32,
        [c.c_void_p, c.c_char_p, c.c_int32, c.POINTER(c.c_int32), c.c_int32, c.c_bool, c.c_bool],
    ),
    "llama_init_from_model": (c.c_void_p, [c.c_void_p, ContextParams]),
    "llama_free": (None, [c.c_void_p]),
    "llama_get_memory": (c.c_void_p, [c.c_void_p]),
    "llama_memory_clear": (None, [c.c_void_p, c.c_bool]),
    "llama_set_causal_attn": (None, [c.c_void_p, c.c_bool]),
    "llama_decode": (c.c_int32, [c.c_void_p, Batch]),
    "llama_synchronize": (None, [c.c_void_p]),
    "llama_get_logits_ith": (c.POINTER(c.c_float), [c.c_void_p, c.c_int32]),
    "llama_perf_context": (Timings, [c.c_void_p]),
    "llama_perf_context_reset": (None, [c.c_void_p]),
    "mtmd_context_params_default": (SeeingParams, []),
    "mtmd_init_from_file": (c.c_void_p, [c.c_char_p, c.c_void_p, SeeingParams]),
    "mtmd_free": (None, [c.c_void_p]),
    "mtmd_bitmap_init": (c.c_void_p, [c.c_uint32, c.c_uint32, c.c_void_p]),
    "mtmd_bitmap_free": (None, [c.c_void_p]),
    "mtmd_input_chunks_init": (c.c_void_p, []),
    "mtmd_input_chunks_size": (c.c_size_t, [c.c_void_p]),
    "mtmd_input_chunks_get": (c.c_void_p, [c.c_void_p, c.c_size_t]),
    "mtmd_input_chunks_free": (None, [c.c_void_p]),
    "mtmd_input_chunk_get_type": (c.c_int, [c.c_void_p]),
    "mtmd_input_chunk_get_n_tokens": (c.c_size_t, [c.c_void_p]),
    "mtmd_tokenize_from_parts": (c.c_int32, [c.c_void_p, c.c_void_p, c.POINTER(c.POINTER(Part)), c.c_size_t, c.c_bool]),
    "mtmd_encode_chunk": (c.c_int32, [c.c_void_p, c.c_void_p]),
    "mtmd_get_output_embd": (c.POINTER(c.c_float), [c.c_void_p]),
}


@functools.cache
def load() -> Any:
    """The library, with its functions declared, and silent.

    Raises `UserError` where the package is missing, or is another version than the one that is known here.
    """
    try:
        version = metadata.version(PACKAGE)
        place = metadata.distribution(PACKAGE).locate_file(PACKAGE)
    except metadata.PackageNotFoundError:
        raise UserError(
            f"llama.cpp runs by the package {PACKAGE}, which is not installed: run `pip install {PACKAGE}`, in the "
            "version of requirements.lock."
        ) from None
    found = sorted(Path(str(place)).glob("xllamacpp*.so")) + sorted(Path(str(place)).glob("xllamacpp*.dll"))
    try:
        library = c.CDLL(str(found[0]))
        for name, (gives, takes) in FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = gives, takes
    except (IndexError, OSError, AttributeError) as fault:
        raise _another(version) from fault
    if not _is_known(library.llama_model_default_params(), library.llama_context_default_params()):
        raise _another(version)
    if not _sees_as_known(library.mtmd_context_params_default()):
        raise _another(version)
    library.llama_log_set(NOTHING_SAID, None)
    library.mtmd_log_set(NOTHING_SAID, None)
    library.llama_backend_init()
    return library


def _another(version: str) -> UserError:
    return UserError(
        f"{PACKAGE} {version} is not a version whose llama.cpp is known here: install the version of requirements.lock."
    )


def _is_known(model: ModelParams, context: ContextParams) -> bool:
    """Whether the defaults stand where they should in this version's structures."""
    return (
        (model.n_gpu_layers, model.split_mode, model.load_mode, model.lazy_mode, model.main_gpu) == (-1, 1, -1, 1, 0)
        and (context.n_ctx, context.n_batch, context.n_ubatch, context.n_seq_max) == (512, 2048, 512, 1)
        and (context.pooling_type, context.attention_type, context.flash_attn_type) == (-1, -1, -1)
        and list(context.yarn) == [-1.0] * 4
        and (context.type_k, context.type_v) == (F16, F16)
        and (context.embeddings, context.offload_kqv, context.no_perf, context.op_offload) == (False, True, True, True)
    )


def computes_on_gpus() -> bool | None:
    """Whether the package that is installed here computes on GPUs; None where none can be opened here."""
    try:
        return bool(load().llama_supports_gpu_offload())
    except UserError:
        return None


def _sees_as_known(how: SeeingParams) -> bool:
    """The same of what encodes pictures."""
    return (
        (how.use_gpu, how.print_timings, how.n_threads, how.media_marker) == (True, True, 4, b"<__media__>")
        and (how.device, how.image_marker, how.flash_attn_type, how.warmup) == (None, None, -1, True)
        and (how.image_min_tokens, how.image_max_tokens, how.batch_max_tokens) == (-1, -1, 1024)
        and (how.cb_eval, how.progress_callback) == (None, None)
    )


def kernel() -> str:
    """What multiplies, in words: the version of the package, and the instructions that it uses here."""
    said = load().llama_print_system_info().decode()
    switched_on = [part.partition("=")[0].strip() for part in said.replace(":", "|").split("|") if "= 1" in part]
    return f"llama.cpp ({PACKAGE} {metadata.version(PACKAGE)}; {', '.join(switched_on)})"
