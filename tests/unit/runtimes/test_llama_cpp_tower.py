"""Vision towers and projectors that llama.cpp runs, against the same ones run by transformers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import torch

from bitbudget import files, registry
from bitbudget.errors import UserError
from bitbudget.measuring.phases import PhaseTimer
from bitbudget.models import checkpoint, group_files
from bitbudget.models.families import parts
from bitbudget.runtimes.llama_cpp import tower
from bitbudget.runtimes.llama_cpp.seeing import SeeingModel
from bitbudget.runtimes.transformers import generation

FAMILY = tiny.IDEFICS


def made(folder: Path, dtype: str = "float32", **chosen: str) -> tuple[Path, Path]:
    """A snapshot of an Idefics3, and its checkpoint with these formats."""
    source, out = tiny.idefics3(folder / "snapshot"), folder / "checkpoint"
    model = checkpoint.original(source, FAMILY, dtype)
    assigned = tiny.assignment(FAMILY, dtype, **chosen)
    wholes = group_files.make(model, FAMILY, assigned, source, out, "cpu", None)
    held = checkpoint.save(out, source, model, {}, {}, wholes, group_files.parameters(wholes, model.model, FAMILY))
    files.write_json(out / checkpoint.MANIFEST, {"dtype": dtype, "device": "cpu", **held})
    return source, out


def seeing(name: str) -> dict[str, str]:
    return dict.fromkeys(("vision", "projector"), name)


def audited(source: Path, out: Path) -> tuple[Any, Any]:
    [one] = group_files.read(checkpoint.manifest(out))
    fmt = registry.format_of(one.spec["format"])
    return fmt.audited(one, checkpoint.original(source, FAMILY, "float32"), FAMILY, out, "cpu", None)


@pytest.mark.parametrize(
    ("name", "dtype", "most"),
    [("gguf-f16", "float32", 0.01), ("gguf-f16", "bfloat16", 0.05), ("gguf-bf16", "float32", 0.02),
     ("gguf-q8_0", "float32", 0.05)],
)  # fmt: skip
def test_logits_are_those_of_transformers(name: str, dtype: str, most: float, tmp_path: Path) -> None:
    source, out = made(tmp_path, dtype, **seeing(name))
    loaded, inputs = checkpoint.load(out, FAMILY, "cpu"), tiny.inputs_of(source, FAMILY, getattr(torch, dtype))
    assert inputs["pixel_values"].shape[1] > 1  # tiles
    with torch.inference_mode():
        wanted = checkpoint.load_original(source, FAMILY, dtype)(**inputs).logits.float()
        found = loaded(**inputs).logits.float()
    read = inputs["attention_mask"].bool()
    assert 0 < (found - wanted)[read].norm() < most * wanted[read].norm()


def test_llama_cpp_sees_and_reads_and_both_are_timed(tmp_path: Path) -> None:
    reading = dict.fromkeys(("language", "embeddings", "head"), "gguf-f16")
    source, out = made(tmp_path, **seeing("gguf-q8_0"), **reading)
    loaded, inputs = checkpoint.load(out, FAMILY, "cpu"), tiny.inputs_of(source, FAMILY)
    assert isinstance(loaded, SeeingModel)
    assert not [name for name, one in loaded.rest.named_parameters() if one.device.type != "meta" and one.numel()]
    how = generation.decoding(loaded, generation.load_processor(source), 4, 4)
    timer = PhaseTimer(loaded, parts.vision_modules(FAMILY, loaded), "cpu")
    found = timer.time(lambda: inputs, lambda given: loaded.generate(**given, generation_config=how))
    assert 0 < found.vision < found.total and found.decoded_tokens == 3
    with torch.inference_mode():
        wanted = checkpoint.load_original(source, FAMILY, "float32")(**inputs).logits
    read = inputs["attention_mask"].bool()
    assert (loaded(**inputs).logits - wanted)[read].norm() < 0.05 * wanted[read].norm()


def test_the_audit_says_types_and_what_a_picture_becomes(tmp_path: Path) -> None:
    layers, others = audited(*made(tmp_path, **seeing("gguf-q8_0")))
    assert not [one.path for one in layers if one.fault] and not [row for row in others if row["fault"]]
    kinds = {one.path: one.storage for one in layers}
    assert kinds["model.connector.modality_projection.proj"] == "Q8_0"
    assert kinds["model.vision_model.embeddings.patch_embedding"] == "F32"
    assert sorted(set(kinds.values())) == ["F32", "Q8_0"]
    assert all(0 < one.relative_error < 0.01 for one in layers if one.storage == "Q8_0")
    [row] = [row for row in others if row["path"] == "vision.gguf"]
    assert 0 < row["output_error"] < row["output_allowed"] == 0.1


def test_the_audit_notices_another_weight_and_another_setting(tmp_path: Path) -> None:
    from gguf import GGUFReader

    source, out = made(tmp_path, **seeing("gguf-f16"))
    file = GGUFReader(out / "vision.gguf", "r+")
    field = file.fields["clip.vision.attention.head_count"]
    heads = field.parts[field.data[0]]
    heads[0] = 4
    layers, others = audited(source, out)
    assert [row["path"] for row in others if row["fault"]] == ["vision.gguf"]
    heads[0] = 2
    weights = next(one for one in file.tensors if one.name == "v.blk.1.ffn_up.weight").data
    weights[3] = -weights[3]
    layers, others = audited(source, out)
    assert [one.path for one in layers if one.fault] == ["model.vision_model.encoder.layers.1.mlp.fc1"]


def test_pixels_are_the_bytes_that_were_normalised() -> None:
    told = {"size": 16, "mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}
    module = tower.Tower(Path("none"), told, torch.nn.Identity(), 8, torch.bfloat16, "cpu")
    bytes_ = np.arange(768, dtype=np.uint8).reshape(1, 16, 16, 3)
    mean, std = (torch.tensor(told[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    values = (torch.from_numpy(bytes_).permute(0, 3, 1, 2) / 255 - mean) / std
    for dtype in (torch.float32, torch.float16):
        assert (module._pixels(values.to(dtype)) == bytes_).all()
    assert np.abs(module._pixels(values.to(torch.bfloat16)).astype(int) - bytes_).max() == 1  # the dtype has 8 bits


def test_what_llama_cpp_does_not_encode_so_is_refused(tmp_path: Path) -> None:
    source = tiny.llava(tmp_path / "llava")
    model = checkpoint.original(source, tiny.LLAVA, "float32")
    assigned = tiny.assignment(tiny.LLAVA, "float32", **seeing("gguf-q8_0"))
    with pytest.raises(UserError, match=r"cannot convert the vision tower .* give vision another format"):
        group_files.make(model, tiny.LLAVA, assigned, source, tmp_path / "out", "cpu", None)
    told = {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3}
    module = tower.Tower(Path("vision.gguf"), told, torch.nn.Identity(), 8, torch.float32, "cpu")
    with pytest.raises(UserError, match="encodes tiles of 32 x 32 pixels without a margin, and this one is of 32 x 24"):
        module(torch.zeros(1, 3, 32, 24))
