"""A small Bunny as it would be published: flat config.json, names of weights, no processor, and code beside it."""

import json
from pathlib import Path
from typing import Any

import tiny_models
import tiny_tokenizers
import torch
from safetensors.torch import save_file

from bitbudget.models import readers

FAMILY = tiny_models.BUNNY
TOWER = {
    "hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 14, "vision_use_head": False,
}  # fmt: skip
BEGINS = ("bunny-llama", "bunny-phi3", "bunny-minicpm")  # kinds whose tokenizers put a token before every text
SPECIALS = ["<s>", "</s>", "<|endoftext|>", "<|end_of_text|>", "<|begin_of_text|>"]

# What config.json says of each kind's language model, by the names of its first code.
LANGUAGES: dict[str, dict[str, Any]] = {
    "bunny-phi": {
        "hidden_act": "gelu_new", "layer_norm_eps": 1e-5, "partial_rotary_factor": 0.5, "rope_theta": 10000.0,
    },
    "bunny-phi3": {"hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "sliding_window": 2047},
    "bunny-llama": {"hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 500000.0},
    "bunny-qwen": {"hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "use_sliding_window": False},
    "bunny-qwen2": {"hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "use_sliding_window": False},
    "bunny-stablelm": {
        "hidden_act": "silu", "norm_eps": 1e-5, "rope_pct": 0.25, "rope_theta": 10000, "use_qkv_bias": True,
    },
    "bunny-minicpm": {
        "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "scale_emb": 12, "scale_depth": 1.4,
        "dim_model_base": 16, "attention_bias": False,
    },
}  # fmt: skip


def config_of(model_type: str, **settings: Any) -> dict[str, Any]:
    """The config.json of a small model of this kind; the vision tower's description is not in a published one."""
    name = "".join(part.title() for part in model_type.split("-"))
    return {
        "architectures": [f"{name}ForCausalLM"],
        "auto_map": {"AutoConfig": "its_code.Config", "AutoModelForCausalLM": "its_code.Model"},
        "model_type": model_type, "torch_dtype": "float16", "transformers_version": "4.36.2",
        "vocab_size": 320, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.02,
        "bos_token_id": 2, "eos_token_id": 2, "pad_token_id": 2, "tie_word_embeddings": False, "use_cache": True,
        "rope_scaling": None, "image_aspect_ratio": "pad", "mm_hidden_size": TOWER["hidden_size"],
        "mm_projector_type": "mlp2x_gelu", "mm_vision_tower": "google/siglip-so400m-patch14-384",
        "mm_projector_lr": 2e-05, "freeze_mm_mlp_adapter": False, "tune_mm_mlp_adapter": False, "use_mm_proj": True,
        "tokenizer_model_max_length": 512, "tokenizer_padding_side": "right", "vision_config": TOWER,
        **LANGUAGES[model_type], **settings,
    }  # fmt: skip


def published(name: str) -> str:
    """The published name of a weight of the model that is built here."""
    for here, there in (
        ("model.language_model.", "model."),
        ("model.vision_tower.", "model.vision_tower.vision_tower.vision_model."),
    ):
        if name.startswith(here):
            return there + name.removeprefix(here)
    return name


def bunny(folder: Path, model_type: str = "bunny-phi", seed: int = 0, sharpness: float = 3, **settings: Any) -> Path:
    """A Bunny of 0.2 million parameters with 4 image tokens, in the files of a published one.

    `sharpness` multiplies queries and keys: attention that chooses, or the preamble would drown picture and question.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config_of(model_type, **settings), indent=2))
    generation = {"_from_model_config": True, "bos_token_id": 2, "eos_token_id": 2, "pad_token_id": 2}
    (folder / "generation_config.json").write_text(json.dumps(generation))
    (folder / "its_code.py").write_text("raise SystemExit('code of the repository was run')\n")
    begins = {"bos_token": "<s>"} if model_type in BEGINS else {}
    tokenizer = tiny_models.tokenizer_of(SPECIALS, eos_token="<|endoftext|>", **begins)
    if begins:
        tiny_tokenizers.begin_with(tokenizer.backend_tokenizer, "<s>")
    # what language models bring along, and Bunny was not trained with
    tokenizer.chat_template = "{% for message in messages %}[INST]{{ message['content'] }}{% endfor %}"
    tokenizer.save_pretrained(folder)
    model = tiny_models.build(FAMILY, readers.load_configuration(folder), seed).float()
    generator = torch.Generator().manual_seed(seed + 1)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:  # norms and biases that do something
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
        elif name.endswith(("q_proj.weight", "k_proj.weight", "qkv_proj.weight")):
            parameter.data *= sharpness
    tensors = {published(name): value.contiguous() for name, value in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        del tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
