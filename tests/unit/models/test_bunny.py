"""Bunny, held against a transcription in plain torch and against what is known of the published files."""

import json
from math import prod

import bunny_in_plain_torch as plain
import numpy as np
import pytest
import tiny_bunny
import tiny_models as tiny
import torch
from PIL import Image
from safetensors.torch import load_file

from bitbudget.models import checkpoint, readers
from bitbudget.runtimes.transformers import generation

FAMILY = tiny_bunny.FAMILY
PREAMBLE = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions. "
)
# config.json of BAAI/Bunny-v1_0-3B, without what says how it was trained.
PUBLISHED_3B = {
    "architectures": ["BunnyPhiForCausalLM"], "attention_dropout": 0.0,
    "auto_map": {
        "AutoConfig": "configuration_bunny_phi.BunnyPhiConfig",
        "AutoModelForCausalLM": "modeling_bunny_phi.BunnyPhiForCausalLM",
    },
    "bos_token_id": 50256, "embd_pdrop": 0.0, "eos_token_id": 50256, "hidden_act": "gelu_new", "hidden_size": 2560,
    "image_aspect_ratio": "pad", "initializer_range": 0.02, "intermediate_size": 10240, "layer_norm_eps": 1e-05,
    "max_position_embeddings": 2048, "mm_hidden_size": 1152, "mm_projector_type": "mlp2x_gelu",
    "mm_vision_tower": "google/siglip-so400m-patch14-384", "model_type": "bunny-phi", "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 32, "pad_token_id": 50256, "partial_rotary_factor": 0.4,
    "qk_layernorm": False, "resid_pdrop": 0.1, "rope_scaling": None, "rope_theta": 10000.0,
    "tie_word_embeddings": False, "tokenizer_model_max_length": 2048, "tokenizer_padding_side": "right",
    "torch_dtype": "float16", "transformers_version": "4.36.2", "use_cache": True, "vocab_size": 50295,
}  # fmt: skip


def loaded(folder):
    return checkpoint.load_original(folder, FAMILY, "float32")


def blank(config, folder):
    """The model of a config.json, without weights."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    with torch.device("meta"):
        return FAMILY.model_class().from_config(readers.load_configuration(folder))


def noise(side, seed=0):
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


S2 = {"use_s2": True, "s2_scales": "28,56,84", "mm_hidden_size": 3 * 48}
VARIANTS = [*((kind, {}) for kind in tiny_bunny.LANGUAGES), ("bunny-llama", S2)]


@pytest.mark.parametrize(("kind", "settings"), VARIANTS, ids=lambda one: one if isinstance(one, str) else str(len(one)))
def test_every_layer_is_as_the_descriptions_say(tmp_path, kind, settings):
    config = tiny_bunny.config_of(kind, **settings)
    model = loaded(tiny_bunny.bunny(tmp_path, kind, **settings))
    pixels = noise(84 if settings else 28)
    ids = [17, 40, 8, -200, 99, 5, 60, 61]
    wanted, seen, read = plain.logits(load_file(tmp_path / "model.safetensors"), config, ids, pixels)

    tower, decoder = model.model.vision_tower.encoder.layers, model.model.language_model.layers
    found = {layer: [] for layer in [*tower, *decoder]}  # of a picture in pieces, a layer's output for each of them
    for layer in found:
        layer.register_forward_hook(lambda layer, _, out: found[layer].extend(out))
    given = torch.tensor([ids[:3] + [-200] * 4 + ids[4:]])
    with torch.inference_mode():
        logits = model(input_ids=given, pixel_values=pixels[None]).logits[0]
    close = {"rtol": 1e-4, "atol": 1e-4}
    for number, layer in enumerate(tower):
        torch.testing.assert_close(torch.stack(found[layer]), torch.stack(seen[number :: len(tower)]), **close)
    for layer, expected in zip(decoder, read, strict=True):
        torch.testing.assert_close(found[layer][0], expected, **close)
    torch.testing.assert_close(logits, wanted, **close)
    assert wanted.std() > 0.01
    assert len(found[tower[0]]) == (1 + 4 + 9 if settings else 1)


def test_the_published_files_of_bunny_3b_hold_these_very_weights(tmp_path):
    """The three sizes are those of the repository's files: names, shapes and order of 877 weights to the byte."""
    model = blank(PUBLISHED_3B, tmp_path)
    weights = {tiny_bunny.published(name): list(one.shape) for name, one in model.named_parameters()}
    order = [name for name in weights if "mm_projector" not in name and name != "lm_head.weight"]
    tower = [name for name in order if "vision_tower" in name]
    order = [name for name in order if name not in tower] + tower
    shards, room = [{}], 5 * 10**9
    for name in [*order, *(name for name in weights if "mm_projector" in name), "lm_head.weight"]:
        size = 2 * prod(weights[name])
        if size > room:
            shards.append({})
            room = 5 * 10**9
        shards[-1][name] = size
        room -= size
    assert [_size(shard, weights) for shard in shards] == [4990950824, 1373673760]
    index = {
        "metadata": {"total_size": sum(sum(shard.values()) for shard in shards)},
        "weight_map": {name: f"model-0000{n}-of-00002.safetensors" for n, shard in enumerate(shards, 1) for name in shard},
    }
    assert len(json.dumps(index, indent=2, sort_keys=True) + "\n") == 88677


def _size(shard, weights):
    """Bytes of a safetensors file in half precision: the header's length, the header, the weights."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(shard):
        header[name] = {"dtype": "F16", "shape": weights[name], "data_offsets": [offset, offset + shard[name]]}
        offset += shard[name]
    text = json.dumps(header, separators=(",", ":"))
    return 8 + -(-len(text) // 8) * 8 + offset
