"""A tiny random model of any type that transformers has, from the type's own default configuration, made small."""

from __future__ import annotations

from typing import Any

# What a number in a configuration becomes, by the end of its name. Sizes are multiples of 32, for formats' kernels.
SIZES = {
    "hidden_size": 64, "embed_dim": 64, "d_model": 64, "n_embd": 64, "hidden_dim": 64, "dim": 64, "width": 64,
    "projection_dim": 64, "word_embed_proj_dim": 64, "text_hidden_size": 64, "out_hidden_size": 64,
    "projector_hidden_dim": 64, "embedding_size": 64, "max_position_embeddings": 256, "n_positions": 256,
    "intermediate_size": 128, "ffn_dim": 128, "ffn_hidden_size": 128, "n_inner": 128, "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128, "d_ff": 128, "moe_intermediate_size": 64, "shared_expert_intermediate_size": 64,
    "mlp_hidden_size": 128, "num_hidden_layers": 2, "num_layers": 2, "n_layer": 2, "n_layers": 2, "depth": 2,
    "encoder_layers": 2, "decoder_layers": 2, "num_decoder_layers": 2, "num_attention_heads": 2, "n_head": 2,
    "n_heads": 2, "num_heads": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "num_key_value_heads": 2, "head_dim": 32, "d_kv": 32, "kv_channels": 32, "attention_head_size": 32,
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1,
    "image_size": 32, "patch_size": 8, "max_window_layers": 2, "sliding_window": 64,
    "qk_rope_head_dim": 32, "qk_nope_head_dim": 32, "qk_head_dim": 64, "v_head_dim": 32, "q_lora_rank": 32,
    "kv_lora_rank": 32, "rotary_dim": 32,
}  # fmt: skip

VOCABULARIES = {"vocab_size", "n_words", "vocab_size_per_layer_input"}


def shrink(config: Any, vocabulary: int, **special: Any) -> Any:
    """Make a configuration, and those in it, small in place; `special` are values of dotted names."""
    for name, value in vars(config).items():
        if name.endswith("_token_id") and max(value if isinstance(value, list) else [value or 0]) >= vocabulary:
            setattr(config, name, 0)
        if name in SIZES and isinstance(value, int) and not isinstance(value, bool):
            setattr(config, name, min(value, SIZES[name]))
    for name in ("layer_types", "mlp_layer_types"):
        if isinstance(vars(config).get(name), list):
            setattr(config, name, _first_of_each(vars(config)[name], config.num_hidden_layers))
    if getattr(config, "_heterogeneity_spec", None) is not None:  # of layers that there are no more
        del config._heterogeneity_spec
    for name in VOCABULARIES & vars(config).keys():
        setattr(config, name, vocabulary)
    for name in config.sub_configs:
        if getattr(config, name, None) is not None:
            shrink(getattr(config, name), vocabulary)
    for name, value in special.items():
        *inner, last = name.split(".")
        owner = config
        for part in inner:
            owner = getattr(owner, part)
        setattr(owner, last, value)
    return config


def _first_of_each(kinds: list[Any], number: int) -> list[Any]:
    """So many layers, of as many kinds as there are, each layer of another kind where there are enough kinds."""
    distinct = list(dict.fromkeys(kinds))
    return [*distinct, *kinds][:number] if len(distinct) <= number else distinct[:number]
