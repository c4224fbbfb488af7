"""Bunny as its paper, its repository and the papers of its language models describe it, in plain torch, layer by layer.

It reads the published names of weights and keys of config.json, and shares no code with what it is to be compared with:
one picture, no cache, no padding. `layers` are the outputs of every layer in the order in which they are computed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Weights = dict[str, Tensor]
TOWER = "model.vision_tower.vision_tower.vision_model."


def linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    y = x @ weights[f"{name}.weight"].T
    return y + weights[f"{name}.bias"] if f"{name}.bias" in weights else y


def layer_norm(weights: Weights, name: str, x: Tensor, eps: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def rms_norm(weights: Weights, name: str, x: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weights[f"{name}.weight"]


def gelu_tanh(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def attend(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """Heads (heads, positions, width), those of keys and values repeated for the queries that share them."""
    k, v = (one.repeat_interleave(len(q) // len(one), dim=0) for one in (k, v))
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    if causal:
        positions = torch.arange(q.shape[1])
        scores = scores.masked_fill(positions[None, :] > positions[:, None], float("-inf"))
    return (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)


def heads(x: Tensor, number: int) -> Tensor:
    return x.view(len(x), number, -1).transpose(0, 1)


def rotate(x: Tensor, share: float, base: float) -> Tensor:
    """Rotary positions on the first `share` of each head: pairs are a half of that part apart."""
    size = int(x.shape[-1] * share)
    half = size // 2
    angles = torch.arange(x.shape[1])[:, None] / base ** (torch.arange(half) * 2 / size)
    cos, sin = angles.cos(), angles.sin()
    first, second, rest = x[..., :half], x[..., half:size], x[..., size:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], dim=-1)


# --- the vision tower


def one_view(weights: Weights, config: dict[str, Any], pixels: Tensor, layers: list[Tensor]) -> Tensor:
    """Features (patches, width) of a picture (3, side, side) of the tower's own size, before its last layer."""
    tower, patch = config["vision_config"], config["vision_config"]["patch_size"]
    kernel = weights[f"{TOWER}embeddings.patch_embedding.weight"].flatten(1)
    places = range(0, tower["image_size"] - patch + 1, patch)
    patches = torch.stack([pixels[:, y : y + patch, x : x + patch].flatten() for y in places for x in places])
    x = patches @ kernel.T + weights[f"{TOWER}embeddings.patch_embedding.bias"]
    x = x + weights[f"{TOWER}embeddings.position_embedding.weight"]
    for number in range(tower["num_hidden_layers"]):
        name = f"{TOWER}encoder.layers.{number}."
        y = layer_norm(weights, f"{name}layer_norm1", x, 1e-6)
        split = (linear(weights, f"{name}self_attn.{one}_proj", y) for one in "qkv")
        attention = attend(*(heads(one, tower["num_attention_heads"]) for one in split), causal=False)
        x = x + linear(weights, f"{name}self_attn.out_proj", attention)
        y = layer_norm(weights, f"{name}layer_norm2", x, 1e-6)
        x = x + linear(weights, f"{name}mlp.fc2", gelu_tanh(linear(weights, f"{name}mlp.fc1", y)))
        layers.append(x)
    return x


def several_views(weights: Weights, config: dict[str, Any], pixels: Tensor, layers: list[Tensor]) -> Tensor:
    """The same at all scales of S2: in pieces, which are put together again and averaged to the tower's own grid."""
    own, patch = config["vision_config"]["image_size"], config["vision_config"]["patch_size"]
    grid, found = own // patch, []
    for scale in map(int, config["s2_scales"].split(",")):
        sized = F.interpolate(pixels[None], size=(scale, scale), mode="bicubic", align_corners=False)[0]
        times = scale // own
        whole = torch.cat(
            [
                torch.cat(
                    [
                        one_view(weights, config, sized[:, y * own : (y + 1) * own, x * own : (x + 1) * own], layers)
                        .view(grid, grid, -1)
                        for x in range(times)
                    ],
                    dim=1,
                )
                for y in range(times)
            ]
        )  # fmt: skip
        means = [
            whole[y * times : (y + 1) * times, x * times : (x + 1) * times].mean((0, 1))
            for y in range(grid)
            for x in range(grid)
        ]
        found.append(torch.stack(means))
    return torch.cat(found, dim=-1)


def projected(weights: Weights, config: dict[str, Any], pixels: Tensor, layers: list[Tensor]) -> Tensor:
    """What stands in the place of a picture's tokens, (patches, width of the language model)."""
    seen = (several_views if config.get("use_s2") else one_view)(weights, config, pixels, layers)
    hidden = linear(weights, "model.mm_projector.0", seen)
    hidden = 0.5 * hidden * (1 + torch.erf(hidden / 2**0.5))
    return linear(weights, "model.mm_projector.2", hidden)


# --- the language models


def phi(weights: Weights, config: dict[str, Any], name: str, x: Tensor) -> Tensor:
    """Phi-1.5 and Phi-2: attention and perceptron side by side after one norm."""
    y = layer_norm(weights, f"{name}input_layernorm", x, config["layer_norm_eps"])
    attention = attention_of(weights, config, name, y, config["partial_rotary_factor"], "dense")
    return x + attention + linear(weights, f"{name}mlp.fc2", gelu_tanh(linear(weights, f"{name}mlp.fc1", y)))


def llama(weights: Weights, config: dict[str, Any], name: str, x: Tensor) -> Tensor:
    """Llama; Qwen1.5, whose queries, keys and values have biases; Phi-3, which holds matrices in one; MiniCPM."""
    depth = config.get("scale_depth", config["num_hidden_layers"] ** 0.5) / config["num_hidden_layers"] ** 0.5
    y = rms_norm(weights, f"{name}input_layernorm", x, config["rms_norm_eps"])
    x = x + depth * attention_of(weights, config, name, y, 1.0, "o_proj")
    y = rms_norm(weights, f"{name}post_attention_layernorm", x, config["rms_norm_eps"])
    return x + depth * gated(weights, name, y)


def stablelm(weights: Weights, config: dict[str, Any], name: str, x: Tensor) -> Tensor:
    """StableLM 2: Llama with norms that centre, and rotation of a quarter of each head."""
    y = layer_norm(weights, f"{name}input_layernorm", x, config["norm_eps"])
    x = x + attention_of(weights, config, name, y, config["rope_pct"], "o_proj")
    y = layer_norm(weights, f"{name}post_attention_layernorm", x, config["norm_eps"])
    return x + gated(weights, name, y)


def attention_of(weights: Weights, config: dict[str, Any], name: str, y: Tensor, share: float, last: str) -> Tensor:
    queries, keys = config["num_attention_heads"], config["num_key_value_heads"]
    if f"{name}self_attn.qkv_proj.weight" in weights:
        size = config["hidden_size"] // queries
        q, k, v = linear(weights, f"{name}self_attn.qkv_proj", y).split([queries * size, keys * size, keys * size], -1)
    else:
        q, k, v = (linear(weights, f"{name}self_attn.{one}_proj", y) for one in "qkv")
    q, k = (rotate(heads(one, n), share, config["rope_theta"]) for one, n in ((q, queries), (k, keys)))
    return linear(weights, f"{name}self_attn.{last}", attend(q, k, heads(v, keys), causal=True))


def gated(weights: Weights, name: str, y: Tensor) -> Tensor:
    if f"{name}mlp.gate_up_proj.weight" in weights:
        gate, up = linear(weights, f"{name}mlp.gate_up_proj", y).chunk(2, dim=-1)
    else:
        gate, up = linear(weights, f"{name}mlp.gate_proj", y), linear(weights, f"{name}mlp.up_proj", y)
    return linear(weights, f"{name}mlp.down_proj", silu(gate) * up)


LAYERS = {"bunny-phi": phi, "bunny-stablelm": stablelm}


def logits(
    weights: Weights, config: dict[str, Any], ids: list[int], pixels: Tensor
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Logits (positions, vocabulary), and the layers' outputs of tower and decoder.

    `ids` have -200 once, where the picture (3, side, side) stands.
    """
    seen_layers: list[Tensor] = []
    read_layers: list[Tensor] = []
    place = ids.index(-200)
    words = weights["model.embed_tokens.weight"]
    seen = projected(weights, config, pixels, seen_layers)
    x = torch.cat([words[ids[:place]], seen, words[ids[place + 1 :]]]) * config.get("scale_emb", 1)
    layer = LAYERS.get(config["model_type"], llama)
    for number in range(config["num_hidden_layers"]):
        x = layer(weights, config, f"model.layers.{number}.", x)
        read_layers.append(x)
    if config["model_type"] == "bunny-phi":
        x = layer_norm(weights, "model.final_layernorm", x, config["layer_norm_eps"])
    elif config["model_type"] == "bunny-stablelm":
        x = layer_norm(weights, "model.norm", x, config["norm_eps"])
    else:
        x = rms_norm(weights, "model.norm", x, config["rms_norm_eps"])
    if "dim_model_base" in config:
        x = x / (config["hidden_size"] / config["dim_model_base"])
    return x @ weights["lm_head.weight"].T, seen_layers, read_layers
