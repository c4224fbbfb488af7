"""A GGUF file that somebody else made, as a precision of a study: whether it is the original's, and what it holds.

The file must have the original's layers, width, vocabulary and parameters; which values they have is told by the audit,
and so is whether llama.cpp computes with them as the original's architecture does.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any

from bitbudget import files
from bitbudget.errors import UserError
from bitbudget.models import checkpoint, gguf_file, group_files, hub, readers
from bitbudget.models.audit.audited import LayerAudit
from bitbudget.models.families import parts
from bitbudget.models.formats.base import FormatSpec, GroupFile
from bitbudget.models.ready import auditing, comparing
from bitbudget.models.ready.adopting import PROBE
from bitbudget.models.streaming import Streamed
from bitbudget.runtimes.llama_cpp import converting, decoder, names, reached, stored
from bitbudget.runtimes.llama_cpp.audit import FLOATS
from bitbudget.runtimes.llama_cpp.formats import FILE
from bitbudget.system import verified

EMBEDDINGS = "token_embd.weight"
NO_TOKENIZER = (None, "none", "no_vocab")
REMEDY = "name a file of this model"


def adopt(
    fetched: Path,
    source: Path,
    out: Path,
    dtype: str,
    device: str,
    family: ModuleType,
    assignment: dict[str, FormatSpec],
) -> dict[str, Any]:
    """See `GroupFormat.adopt`; `dtype` is `auto` where nothing but the file computes."""
    verified.hold_folder(fetched, hub.RECORD)
    record = files.read_json(fetched / hub.RECORD)
    [name] = record["files"]
    dtype = "float32" if dtype == "auto" else dtype
    original = checkpoint.original(source, family, dtype)
    path, called = fetched / name, record["model"]
    held = gguf_file.held(path)
    file = _opened(path, called)
    _refuse_another(file, called, original, family, source)
    if converting.sees(family, original):
        reached.check(original, family, source)
    if not decoder.opens(path):
        raise UserError(f"llama.cpp cannot open {called}, as it is installed here: leave this precision out.")
    remarks = [_types(held), *_imatrix(file), *_tokens(path, file, source)]
    out.mkdir(parents=True, exist_ok=True)
    (out / FILE).unlink(missing_ok=True)
    (out / FILE).symlink_to(os.path.relpath(path.absolute(), out.absolute()))
    told = {"architecture": file.architecture, "types": held.types, "bits": held.bits}
    [one] = group_files.of(assignment, parts.groups(family, original.model))
    one = GroupFile(one.spec, one.groups, (FILE,), told)
    elsewhere = group_files.parameters([one], original.model, family)
    made = checkpoint.save(out, source, original, (), {}, [one], elsewhere)
    rounded = set(held.types) - set(FLOATS)
    return {
        "dtype": dtype,
        "device": device,
        **made,
        "ready": {
            "checkpoint": called,
            "source": record["source"],
            "revision": record["revision"],
            "licence": record["licence"],
            "method": "llama.cpp" if rounded else None,
            "quantization_config": {"types": held.types, "bits": held.bits},
            "remarks": remarks,
        },
    }


def remarks(made: dict[str, Any], audit: dict[str, Any]) -> list[str]:
    """See `GroupFormat.remarks`."""
    layers = [LayerAudit(**one) for one in audit["layers"]]
    mine = [one for one in layers if one.kernel.endswith(f": {one.storage}")]
    compared = [one for one in audit["other_parameters"] if "relative_error" in one]
    return [
        auditing.origin(made["ready"]),
        *made["ready"]["remarks"],
        *auditing.remarks([_found(one) for one in mine], compared),
    ]


def _found(layer: LayerAudit) -> auditing.Found:
    """A matrix as other ready checkpoints tell of it; one in 16 bits is the original's where nothing else differs."""
    quantized, error = layer.storage not in FLOATS, layer.relative_error
    if error is None or (not quantized and error <= auditing.NEAR_16_BITS):
        return auditing.Found(layer, None, quantized)
    return auditing.Found(layer, comparing.Distance(error), quantized)


def _opened(path: Path, called: str) -> stored.File:
    try:
        file = stored.read(path)
    except (KeyError, TypeError):  # without an architecture, or blocks of one
        file = None
    if file is None or EMBEDDINGS not in file.tensors:
        raise UserError(f"{called} is no language model, but some other GGUF file: {REMEDY}.")
    return file


def _refuse_another(file: stored.File, called: str, original: Streamed, family: ModuleType, source: Path) -> None:
    """Raise `UserError` where a file is of another model than the original."""
    config = original.model.config.get_text_config()
    rows, width = file.tensors[EMBEDDINGS].shape
    vocabulary, wanted = original.model.get_input_embeddings().weight.shape
    for what, found, exact in (
        ("layers", file.blocks, config.num_hidden_layers),
        ("numbers per token", width, wanted),
    ):
        if found != exact:
            raise UserError(f"{called} has {found} {what}, and the original has {exact}: {REMEDY}.")
    if rows > vocabulary or _lacks_tokens(rows, vocabulary, original, source):
        raise UserError(f"{called} knows {rows} tokens, and the original {vocabulary}: {REMEDY}.")
    try:
        there = names.mapped(converting.language_names(original, family), file.architecture, file.blocks)
    except KeyError:
        raise UserError(
            f"{called} is of the architecture {file.architecture!r}, which the package gguf does not know: install a "
            "later version, or leave this precision out."
        ) from None
    missing = next((name for name, found in there.items() if not found or not file.tensors.keys() >= {*found}), None)
    if missing is not None:
        raise UserError(
            f"{called} is of the architecture {file.architecture!r} and has no {missing}, as the original of type "
            f"{config.model_type!r} does: {REMEDY}."
        )


def _lacks_tokens(rows: int, vocabulary: int, original: Streamed, source: Path) -> bool:
    """Whether a text may have tokens that the original knows and a file does not; none stand for pictures in a text."""
    if rows == vocabulary:
        return False
    config = original.model.config.to_dict()
    special = [value for key, value in config.items() if key.endswith(("_token_id", "_token_index"))]
    known = readers.load_tokenizer(source).get_vocab().values()
    return any(rows <= number < vocabulary and number not in special for number in known)


def _types(held: gguf_file.Held) -> str:
    kinds = ", ".join(f"{count} of {kind}" for kind, count in held.types.items())
    return f"its tensors are {kinds}, and a weight of a matrix takes {held.bits:g} bits"


def _imatrix(file: stored.File) -> list[str]:
    """That data decided how it was rounded, in a clause."""
    if "quantize.imatrix.file" not in file.fields:
        return []
    data = file.setting("quantize.imatrix.dataset")
    return ["its weights were rounded by how much inputs weigh them (imatrix" + (f" of {data})" if data else ")")]


def _tokens(path: Path, file: stored.File, source: Path) -> list[str]:
    """What differs between its tokenizer and the original's, by which it is asked, in a clause."""
    if file.setting("tokenizer.ggml.model") in NO_TOKENIZER:
        return ["it has no tokenizer of its own, and is asked by the original's"]
    opened = decoder.Decoder(path, len(PROBE), 1)
    own = opened.tokens_of(PROBE, special=False)
    opened.close()
    if own == readers.load_tokenizer(source)(PROBE, add_special_tokens=False).input_ids:
        return []
    return ["its own tokenizer gives other tokens than the original's, by which it is asked"]
