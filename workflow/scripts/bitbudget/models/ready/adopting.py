"""Making a ready checkpoint one of a study's: its weights, asked by the original's tokenizer, with a manifest."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from bitbudget import files
from bitbudget.errors import UserError
from bitbudget.models import checkpoint, hub, readers
from bitbudget.models.ready import methods
from bitbudget.models.snapshots import small_files

ENDS = "generation_config.json"
OWN = ("config.json", "model.safetensors.index.json", "pytorch_model.bin.index.json")
FLOATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}  # by the names of safetensors
PROBE = "The quick brown fox jumps over the lazy dog, 0123456789 times.\n\tÀ 東京 🙂"


def adopt(fetched: Path, original: Path, out: Path, dtype: str, device: str) -> dict[str, Any]:
    """Put the checkpoint's weights and the original's tokenizer into `out`; what the manifest says of them.

    `dtype` is the float format that the rest of the study computes in, or `auto` for the checkpoint's own. Raises
    `UserError` where the checkpoint is of another architecture than the original, or cannot be loaded here.
    """
    record = files.read_json(fetched / hub.RECORD)
    config, own = (small_files.read_object(folder / "config.json") for folder in (original, fetched))
    if own.get("model_type") != config.get("model_type"):
        raise UserError(
            f"{record['model']} is of model_type {own.get('model_type')!r}, and the original is "
            f"of {config.get('model_type')!r}: compare it as a model of its own, in config/models.yaml."
        )
    methods.check(fetched / "config.json")
    quantization = methods.quantization_of(own)
    differences, readers_of = _readers(fetched, original)
    kept = _dtype(dtype, own, quantization, fetched)
    if dtype not in ("auto", kept):
        differences.append(f"computes in {kept}, in which it is stored or its kernel runs, and the others in {dtype}")
    out.mkdir(parents=True, exist_ok=True)
    (out / checkpoint.MANIFEST).unlink(missing_ok=True)
    for left in out.iterdir():  # of another checkpoint, whose weights might be read in the place of these
        if left.is_symlink() or hub.is_one_of(left.name, hub.WANTED):
            left.unlink()
    weights = sorted(name for name in record["files"] if hub.is_one_of(name, hub.SAFE + hub.PICKLED))
    for name in (*weights, *(name for name in OWN if (fetched / name).is_file())):
        (out / name).symlink_to(os.path.relpath((fetched / name).absolute(), out.absolute()))
    copied = sorted(readers_of)
    for name in copied:
        shutil.copyfile(readers_of[name] / name, out / name)
    held = {name: {"bytes": facts["bytes"], "sha256": facts["sha256"]} for name, facts in record["files"].items()}
    made = {
        "dtype": kept,
        "device": device,
        "files": {name: held[name] for name in weights},
        "copied": {
            name: {"bytes": (out / name).stat().st_size, "sha256": files.sha256_of(out / name)} for name in copied
        },
        "size_on_disk_bytes": sum(held[name]["bytes"] for name in weights),
        "layers": {},
        "ready": {
            "checkpoint": record["model"],
            "source": record["source"],
            "revision": record["revision"],
            "licence": record["licence"],
            "method": methods.method_of(quantization),
            "quantization_config": quantization or None,
            "remarks": differences,
        },
    }
    return made | {"checkpoint_hash": hash_of(out, made)}


def hash_of(folder: Path, made: dict[str, Any]) -> str:
    """The hash that covers a ready checkpoint: weights, configuration, tokenizer, and the dtype of the rest."""
    config = files.sha256_of(folder / "config.json")
    return files.hash_of({key: made[key] for key in ("dtype", "files", "copied")} | {"config": config})


def _of_reader(path: Path) -> bool:
    """Whether a snapshot's file is of its tokenizer or processor, or says which tokens begin and end an answer."""
    return (
        path.suffix in (".json", ".txt", ".model", ".jinja")
        and path.name not in (*OWN, hub.RECORD, "quantize_config.json", "quant_config.json", "hf_quant_config.json")
        and not path.name.startswith(("LICENSE", "README", "NOTICE"))
    )


def _dtype(asked: str, config: dict[str, Any], quantization: dict[str, Any], folder: Path) -> str:
    """The float format that transformers loads the checkpoint in where `asked` is asked for; auto: in its own."""
    text = config.get("text_config") or {}
    said = next(filter(None, (part.get(key) for part in (config, text) for key in ("dtype", "torch_dtype"))), "float32")
    method, dtype = methods.method_of(quantization), said if asked == "auto" else asked
    if method in methods.KEEPS_DTYPE:
        return _stored_dtype(folder) or said
    if method is None:
        return dtype
    # some kernels run in one 16-bit format only
    return str(methods.quantizer_of(quantization).update_dtype(getattr(torch, dtype))).removeprefix("torch.")


def _stored_dtype(folder: Path) -> str | None:
    """The float format that most of the matrices and norms that are not quantized are stored in."""
    found: Counter[str] = Counter()
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            kinds = (file.get_slice(name).get_dtype() for name in file.keys() if name.endswith(".weight"))  # noqa: SIM118
            found.update(FLOATS[kind] for kind in kinds if kind in FLOATS)
    return found.most_common(1)[0][0] if found else None


def _readers(fetched: Path, original: Path) -> tuple[list[str], dict[str, Path]]:
    """What differs between the two tokenizers and processors, in words, and the folder that each of their files is of.

    They are the original's, so that all precisions are asked the same; but a checkpoint whose tokenizer gives tokens
    other numbers can only be asked by its own. Which tokens end an answer is the checkpoint's own matter.
    """
    own, known = (
        {path.name: folder for path in folder.iterdir() if _of_reader(path)} for folder in (fetched, original)
    )
    told = []
    both = [small_files.read_object(has[ENDS] / ENDS).get("eos_token_id") for has in (own, known) if ENDS in has]
    if len(both) == 2 and both[0] != both[1]:
        told.append(f"its answers end with the tokens {both[0]}, the original's with {both[1]}")
    used = known | {name: fetched for name in own if name == ENDS}
    if not {"tokenizer.json", "vocab.json"} & own.keys():
        return [*told, "it has no tokenizer of its own, and is asked by the original's"], used
    try:
        mine, theirs = (readers.load_tokenizer(folder) for folder in (fetched, original))
    except Exception:  # of whatever a foreign folder lacks
        return [*told, "its own tokenizer cannot be read, and it is asked by the original's"], used
    if mine.get_vocab() != theirs.get_vocab() or mine(PROBE).input_ids != theirs(PROBE).input_ids:
        return [*told, "its tokenizer gives other tokens than the original's, so it is asked by its own"], known | own
    if mine.chat_template is not None and mine.chat_template != theirs.chat_template:
        told.append("its own chat template differs from the original's, by which it is asked")
    for name in ("preprocessor_config.json", "processor_config.json", "chat_template.json"):
        both = [small_files.read_object(folder / name) for folder in (fetched, original) if (folder / name).is_file()]
        if len(both) == 2 and both[0] != both[1]:
            told.append(f"its own {name} differs from the original's, which is used")
    return told, used
