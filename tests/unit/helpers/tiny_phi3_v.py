"""A small Phi-3.5-vision with the very files of the published one: names and shapes of weights, settings, tokens.

Nothing here is made by the model's own class, so that what reads these files reads the published ones.
"""

import json
import math
from pathlib import Path
from typing import Any

import tiny_tokenizers
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

TEMPLATE = (
    "{% for message in messages %}{{'<|' + message['role'] + '|>' + '\n' + message['content'] + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt and messages[-1]['role'] != 'assistant' %}"
    "{{- '<|assistant|>\n' -}}{% endif %}"
)
ADDED = {0: "<|endoftext|>", 1: "<|assistant|>", 6: "<|system|>", 7: "<|end|>", 10: "<|user|>", 44: "<|image|>"}
FIRST_ADDED, VOCABULARY = 32000, 32064
TOWER = {
    "model_type": "clip_vision_model", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3,
    "num_attention_heads": 2, "image_size": 336, "patch_size": 14, "projection_dim": 32,
}  # fmt: skip
CONFIG = {
    "_name_or_path": "Phi-3.5-vision-instruct",
    "architectures": ["Phi3VForCausalLM"],
    "attention_dropout": 0.0,
    "auto_map": {
        "AutoConfig": "configuration_phi3_v.Phi3VConfig",
        "AutoModelForCausalLM": "modeling_phi3_v.Phi3VForCausalLM",
    },
    "bos_token_id": 1,
    "embd_layer": {
        "embedding_cls": "image", "hd_transform_order": "sub_glb", "projection_cls": "mlp", "use_hd_transform": True,
        "with_learnable_separator": True,
    },
    "embd_pdrop": 0.0,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 64,
    "img_processor": {
        "image_dim_out": 64, "model_name": "openai/clip-vit-large-patch14-336", "name": "clip_vision_model",
        "num_img_tokens": 144,
    },
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 131072,
    "model_type": "phi3_v",
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "original_max_position_embeddings": 4096,
    "pad_token_id": 32000,
    "resid_pdrop": 0.0,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "long_factor": [1.0 + 4 * k for k in range(16)], "short_factor": [1.0 + k / 8 for k in range(16)], "type": "su",
    },
    "rope_theta": 10000.0,
    "sliding_window": 262144,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.38.1",
    "use_cache": True,
    "vocab_size": VOCABULARY,
    "_attn_implementation": "flash_attention_2",
    # what alone the published file leaves out: its tower is CLIP's ViT-L/14 at 336 pixels
    "vision_config": TOWER,
}  # fmt: skip
PICTURES = {
    "auto_map": {
        "AutoProcessor": "processing_phi3_v.Phi3VProcessor",
        "AutoImageProcessor": "processing_phi3_v.Phi3VImageProcessor",
    },
    "num_crops": 4,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "image_processor_type": "Phi3VImageProcessor",
    "processor_class": "Phi3VProcessor",
    "num_img_tokens": 144,
}  # fmt: skip


def write(folder: Path, num_crops: int = 1, seed: int = 0, **settings: Any) -> Path:
    """The snapshot; `settings` are entries of config.json."""
    config = CONFIG | settings
    _tokenizer(folder)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(PICTURES | {"num_crops": num_crops}))
    (folder / "generation_config.json").write_text(json.dumps({"bos_token_id": 1, "eos_token_id": 2}))
    (folder / "modeling_phi3_v.py").write_text("raise RuntimeError('code of the repository was run')\n")
    (folder / "configuration_phi3_v.py").write_text("raise RuntimeError('code of the repository was run')\n")
    (folder / "processing_phi3_v.py").write_text("raise RuntimeError('code of the repository was run')\n")
    tensors = weights(config, seed)
    parts = {1: {name for name in tensors if ".layers.1." not in name}, 2: {n for n in tensors if ".layers.1." in n}}
    place = {name: f"model-0000{number}-of-00002.safetensors" for number, names in parts.items() for name in names}
    for file in set(place.values()):
        save_file({name: tensors[name] for name in place if place[name] == file}, folder / file, {"format": "pt"})
    index = {"metadata": {"total_size": sum(one.nbytes for one in tensors.values())}, "weight_map": place}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def weights(config: dict[str, Any], seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights by their published names; rows of a matrix differ in scale by up to a factor of ten."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in _shapes(config).items():
        value = torch.randn(shape, generator=generator)
        if len(shape) == 2:
            value *= 10 ** (torch.rand(shape[0], 1, generator=generator) - 0.5) * shape[1] ** -0.5
        elif "norm" in name or "pre_layrnorm" in name:
            value = 1 + value / 10 if name.endswith("weight") else value / 10
        else:
            value *= math.prod(shape[1:]) ** -0.5 if len(shape) == 4 else 0.3
        found[name] = value
    return found


def _shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    wide, inner = config["hidden_size"], config["intermediate_size"]
    tower = config["vision_config"]
    width, patch = tower["hidden_size"], tower["patch_size"]
    seen = "model.vision_embed_tokens"
    clip = f"{seen}.img_processor.vision_model"
    found: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config["vocab_size"], wide),
        "model.norm.weight": (wide,),
        "lm_head.weight": (config["vocab_size"], wide),
        f"{seen}.glb_GN": (1, 1, 4 * width),
        f"{seen}.sub_GN": (1, 1, 1, 4 * width),
        f"{seen}.img_projection.0.weight": (wide, 4 * width),
        f"{seen}.img_projection.0.bias": (wide,),
        f"{seen}.img_projection.2.weight": (wide, wide),
        f"{seen}.img_projection.2.bias": (wide,),
        f"{clip}.embeddings.class_embedding": (width,),
        f"{clip}.embeddings.patch_embedding.weight": (width, 3, patch, patch),
        f"{clip}.embeddings.position_embedding.weight": ((tower["image_size"] // patch) ** 2 + 1, width),
    }
    for norm in ("pre_layrnorm", "post_layernorm"):
        found |= {f"{clip}.{norm}.weight": (width,), f"{clip}.{norm}.bias": (width,)}
    for number in range(tower["num_hidden_layers"]):
        layer = f"{clip}.encoder.layers.{number}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            found |= {f"{layer}.self_attn.{name}.weight": (width, width), f"{layer}.self_attn.{name}.bias": (width,)}
        for norm in ("layer_norm1", "layer_norm2"):
            found |= {f"{layer}.{norm}.weight": (width,), f"{layer}.{norm}.bias": (width,)}
        middle = tower["intermediate_size"]
        found |= {f"{layer}.mlp.fc1.weight": (middle, width), f"{layer}.mlp.fc1.bias": (middle,)}
        found |= {f"{layer}.mlp.fc2.weight": (width, middle), f"{layer}.mlp.fc2.bias": (width,)}
    rows = wide + 2 * config["num_key_value_heads"] * wide // config["num_attention_heads"]
    for number in range(config["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        found |= {
            f"{layer}.self_attn.qkv_proj.weight": (rows, wide),
            f"{layer}.self_attn.o_proj.weight": (wide, wide),
            f"{layer}.mlp.gate_up_proj.weight": (2 * inner, wide),
            f"{layer}.mlp.down_proj.weight": (wide, inner),
            f"{layer}.input_layernorm.weight": (wide,),
            f"{layer}.post_attention_layernorm.weight": (wide,),
        }
    return found


def _tokenizer(folder: Path) -> None:
    """Llama's pieces, filled up to 32000, and Phi-3's tokens behind them, each of which takes the space after it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens, merges = tiny_tokenizers.merges_of("▁")
    letters = [f"<0x{byte:02X}>" for byte in range(256)]
    letters += ["▁", *sorted({letter for word in tiny_tokenizers.WORDS for letter in word}), *".,?!"]
    pieces = ["<unk>", "<s>", "</s>", *letters, *tokens]
    pieces += [f"▁filler{number}" for number in range(FIRST_ADDED - len(pieces))]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={piece: number for number, piece in enumerate(pieces)}, merges=merges, unk_token="<unk>",
            fuse_unk=True, byte_fallback=True,
        )
    )  # fmt: skip
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(parts)
    added = [ADDED.get(number, f"<|placeholder{number}|>") for number in range(max(ADDED) + 1)]
    tokenizer.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in ("<unk>", "<s>", "</s>")])
    tokenizer.add_special_tokens([AddedToken(one, special=True, normalized=False, rstrip=True) for one in added])
    tiny_tokenizers.begin_with(tokenizer, "<s>").save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False, "legacy": False,
        "bos_token": "<s>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "unk_token": "<unk>",
        "padding_side": "right", "model_max_length": 131072, "chat_template": TEMPLATE,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
