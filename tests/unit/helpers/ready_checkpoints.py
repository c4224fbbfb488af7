"""Quantized checkpoints as their own libraries make and save them."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, TorchAoConfig

from bitbudget.models.formats.gptq_library import gptqmodel_library, silent_gptqmodel


def bnb_int8(source: Path, out: Path) -> None:
    _by_transformers(source, out, BitsAndBytesConfig(load_in_8bit=True))


def bnb_nf4(source: Path, out: Path, kind: type = AutoModelForCausalLM) -> None:
    _by_transformers(source, out, BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
    ), kind)  # fmt: skip


def torchao_int8(source: Path, out: Path) -> None:
    from torchao.quantization import Int8WeightOnlyConfig

    _by_transformers(source, out, TorchAoConfig(Int8WeightOnlyConfig(version=2)))


def _by_transformers(
    source: Path, out: Path, config: BitsAndBytesConfig | TorchAoConfig, kind: type = AutoModelForCausalLM
) -> None:
    model = kind.from_pretrained(source, quantization_config=config, dtype=torch.float32)
    model.save_pretrained(out)


def int4(source: Path, out: Path) -> None:
    compressed_tensors("W4A16", source, out)


def int8_activations(source: Path, out: Path) -> None:
    compressed_tensors("W8A8", source, out)


def float8(source: Path, out: Path) -> None:
    compressed_tensors("FP8_DYNAMIC", source, out)


def compressed_tensors(scheme: str, source: Path, out: Path) -> None:
    """By compressed-tensors' own observers' formula, without calibration, and its own packing."""
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.quantization import (
        QuantizationConfig,
        QuantizationStatus,
        apply_quantization_config,
        preset_name_to_scheme,
    )
    from compressed_tensors.quantization.utils import calculate_qparams

    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    groups = {"group_0": preset_name_to_scheme(scheme, ["Linear"])}
    apply_quantization_config(model, QuantizationConfig(config_groups=groups, ignore=["lm_head"]))
    for module in model.modules():
        if getattr(module, "quantization_scheme", None) is None:
            continue
        weights = module.quantization_scheme.weights
        parts = module.weight.reshape(len(module.weight), -1, weights.group_size or module.weight.shape[1])
        scale, _ = calculate_qparams(parts.amin(-1), parts.amax(-1), weights)
        module.weight_scale.data.copy_(scale)
        module.quantization_status = QuantizationStatus.FROZEN
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    model.save_pretrained(out)
    compressor.update_config(out)


def gptq(source: Path, out: Path) -> None:
    _by_gptqmodel(source, out, "GPTQConfig", bits=4, group_size=64, sym=False, desc_act=True)


def awq(source: Path, out: Path) -> None:
    _by_gptqmodel(source, out, "AWQConfig", bits=4, group_size=64)


def _by_gptqmodel(source: Path, out: Path, kind: str, **settings: int | bool) -> None:
    library = gptqmodel_library()
    generator = torch.Generator().manual_seed(0)
    texts = [torch.randint(5, 300, (1, 64), generator=generator) for _ in range(16)]
    given = {"backend": library.BACKEND.AWQ_TORCH} if kind == "AWQConfig" else {}
    with silent_gptqmodel():
        model = library.GPTQModel.load(
            str(source), getattr(library.quantization.config, kind)(**settings), device="cpu"
        )
        model.quantize(
            [{"input_ids": one, "attention_mask": torch.ones_like(one)} for one in texts], batch_size=1, **given
        )
        model.save(str(out))
