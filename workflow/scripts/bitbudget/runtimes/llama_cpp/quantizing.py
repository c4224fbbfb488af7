"""From a GGUF file of floats to one of fewer bits, by llama.cpp's own quantizer (in the package cyllama).

It mixes types as `llama-quantize` does: what a name such as Q4_K_M says of a file, and which tensors get more bits.
A matrix whose rows do not fill a type's blocks gets the type that llama.cpp has in its place.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from bitbudget import files
from bitbudget.errors import UserError

PACKAGE = "cyllama"


@functools.cache
def _library() -> Any:
    try:
        from cyllama.llama import llama_cpp
    except ImportError as fault:
        raise UserError(
            f"GGUF files of fewer bits are made with the package {PACKAGE}, which cannot be imported ({fault}): run "
            f"`pip install {PACKAGE}`, in the version of requirements.lock."
        ) from None
    llama_cpp.disable_logging()
    llama_cpp.llama_backend_init()
    return llama_cpp


def quantize(source: Path, out: Path, file_type: str, threads: int) -> None:
    """Write the weights of the file `source` to `out`, in the types of a kind of file (`gguf.LlamaFileType`'s name)."""
    import gguf

    library = _library()
    how = library.LlamaModelQuantizeParams()
    how.ftype = int(gguf.LlamaFileType[file_type])
    how.nthread = threads
    with files.written_whole(out) as temporary:
        try:
            library.model_quantize(str(source), str(temporary), how)
        except RuntimeError as fault:
            raise UserError(
                f"llama.cpp cannot quantize to {file_type} ({fault}): leave the precisions that name it out "
                "of the study."
            ) from None
