"""Phi-3.5-vision as it is published, written down in plain torch: what the model built from transformers is held to.

One prompt at a time, whole matrices, no cache. The facts are those of Microsoft's image_embedding_phi3_v.py and
processing_phi3_v.py, and of what vLLM and transformers' pull request 41977 make of them. `weights` are by their
published names.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

Weights = dict[str, torch.Tensor]
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SEEN = "model.vision_embed_tokens"


def crops(image: Image.Image, num_crops: int) -> tuple[torch.Tensor, int, int]:
    """The whole and the crops, (1 + rows * columns, 3, 336, 336), and how many rows and columns these are."""
    turned = image.size[0] < image.size[1]
    if turned:
        image = image.transpose(Image.TRANSPOSE)
    ratio = image.size[0] / image.size[1]
    scale = 1
    while (scale + 1) * np.ceil((scale + 1) / ratio) <= num_crops:
        scale += 1
    image = image.resize((336 * scale, int(336 * scale / ratio)), Image.BILINEAR)
    picture = np.asarray(image)
    missing = -len(picture) % 336
    above = int(missing / 2)
    picture = np.pad(picture, ((above, missing - above), (0, 0), (0, 0)), constant_values=255)
    if turned:
        picture = picture.transpose(1, 0, 2)
    pixels = torch.tensor((picture / 255.0 - np.array(MEAN)) / np.array(STD), dtype=torch.float32).permute(2, 0, 1)
    found = [F.interpolate(pixels[None], (336, 336), mode="bicubic")[0]]
    rows, columns = pixels.shape[1] // 336, pixels.shape[2] // 336
    for row in range(rows):
        for column in range(columns):
            found.append(pixels[:, 336 * row : 336 * (row + 1), 336 * column : 336 * (column + 1)])
    return torch.stack(found), rows, columns


def tower(weights: Weights, config: dict[str, Any], pixels: torch.Tensor) -> list[torch.Tensor]:
    """What each layer of CLIP gives, (crops, 577, width), the embeddings first."""
    name, settings = f"{SEEN}.img_processor.vision_model", config["vision_config"]
    heads = settings["num_attention_heads"]

    def linear(x: torch.Tensor, path: str) -> torch.Tensor:
        return x @ weights[f"{path}.weight"].T + weights[f"{path}.bias"]

    def normed(x: torch.Tensor, path: str) -> torch.Tensor:
        spread = x.var(-1, unbiased=False, keepdim=True) + 1e-5
        return (x - x.mean(-1, keepdim=True)) / spread.sqrt() * weights[f"{path}.weight"] + weights[f"{path}.bias"]

    patch = settings["patch_size"]
    pieces = pixels.unfold(2, patch, patch).unfold(3, patch, patch)  # crops, 3, 24, 24, 14, 14
    kernel = weights[f"{name}.embeddings.patch_embedding.weight"]
    patches = torch.einsum("nchwij,dcij->nhwd", pieces, kernel).flatten(1, 2)
    first = weights[f"{name}.embeddings.class_embedding"].expand(len(pixels), 1, -1)
    x = torch.cat([first, patches], 1) + weights[f"{name}.embeddings.position_embedding.weight"]
    x = normed(x, f"{name}.pre_layrnorm")
    found = [x]
    for number in range(settings["num_hidden_layers"]):
        layer = f"{name}.encoder.layers.{number}"
        y = normed(x, f"{layer}.layer_norm1")
        q, k, v = (
            linear(y, f"{layer}.self_attn.{part}_proj").unflatten(-1, (heads, -1)).transpose(1, 2) for part in "qkv"
        )
        weighed = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1) @ v
        x = x + linear(weighed.transpose(1, 2).flatten(2), f"{layer}.self_attn.out_proj")
        y = linear(normed(x, f"{layer}.layer_norm2"), f"{layer}.mlp.fc1")
        x = x + linear(y * torch.sigmoid(1.702 * y), f"{layer}.mlp.fc2")
        found.append(x)
    return found


def picture(weights: Weights, config: dict[str, Any], image: Image.Image, num_crops: int) -> torch.Tensor:
    """The embeddings of a picture, (tokens, hidden size), patch by patch."""
    pixels, rows, columns = crops(image, num_crops)
    layer = config["img_processor"].get("layer_idx", -2)
    patches = tower(weights, config, pixels)[layer][:, 1:].unflatten(1, (24, 24))

    def merged(number: int, line: int, column: int) -> torch.Tensor:
        """Four patches of one crop, in the order of reading."""
        square = patches[number, 2 * line : 2 * line + 2, 2 * column : 2 * column + 2]
        return torch.cat([square[0, 0], square[0, 1], square[1, 0], square[1, 1]])

    end = weights[f"{SEEN}.sub_GN"].flatten()
    parts, whole = [], []
    for line in range(12 * rows):
        for column in range(12 * columns):
            parts.append(merged(1 + line // 12 * columns + column // 12, line % 12, column % 12))
        parts.append(end)
    for line in range(12):
        whole += [merged(0, line, column) for column in range(12)] + [end]
    between = [weights[f"{SEEN}.glb_GN"].flatten()]
    first, last = (parts, whole) if config["embd_layer"]["hd_transform_order"] == "sub_glb" else (whole, parts)
    x = torch.stack(first + between + last)
    x = x @ weights[f"{SEEN}.img_projection.0.weight"].T + weights[f"{SEEN}.img_projection.0.bias"]
    x = x * (1 + torch.erf(x / math.sqrt(2))) / 2
    return x @ weights[f"{SEEN}.img_projection.2.weight"].T + weights[f"{SEEN}.img_projection.2.bias"]


def decoder(weights: Weights, config: dict[str, Any], x: torch.Tensor) -> list[torch.Tensor]:
    """What each layer of Phi-3 gives for the embeddings of one prompt, (positions, hidden size); at the end logits."""
    length, heads = len(x), config["num_attention_heads"]
    kept, size = config["num_key_value_heads"], config["hidden_size"] // heads
    rope, short = config["rope_scaling"], config["original_max_position_embeddings"]
    factors = torch.tensor(rope["long_factor" if length > short else "short_factor"])
    turns = 1 / (factors * config["rope_theta"] ** (torch.arange(0, size, 2) / size))
    scale = math.sqrt(1 + math.log(config["max_position_embeddings"] / short) / math.log(short))
    angles = torch.arange(length)[:, None] * turns
    cosine, sine = angles.cos() * scale, angles.sin() * scale
    mask = torch.full((length, length), -torch.inf).triu(1)

    def normed(x: torch.Tensor, path: str) -> torch.Tensor:
        return x / (x.square().mean(-1, keepdim=True) + config["rms_norm_eps"]).sqrt() * weights[f"{path}.weight"]

    def turned(x: torch.Tensor) -> torch.Tensor:
        left, right = x.chunk(2, -1)
        return torch.cat([left * cosine - right * sine, right * cosine + left * sine], -1)

    found = []
    for number in range(config["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        qkv = normed(x, f"{layer}.input_layernorm") @ weights[f"{layer}.self_attn.qkv_proj.weight"].T
        q, k, v = qkv.unflatten(-1, (-1, size)).transpose(0, 1).split([heads, kept, kept])
        k, v = (one.repeat_interleave(heads // kept, 0) for one in (k, v))
        weighed = (turned(q) @ turned(k).transpose(-1, -2) / math.sqrt(size) + mask).softmax(-1) @ v
        x = x + weighed.transpose(0, 1).flatten(1) @ weights[f"{layer}.self_attn.o_proj.weight"].T
        both = normed(x, f"{layer}.post_attention_layernorm") @ weights[f"{layer}.mlp.gate_up_proj.weight"].T
        gate, up = both.chunk(2, -1)
        x = x + (gate * torch.sigmoid(gate) * up) @ weights[f"{layer}.mlp.down_proj.weight"].T
        found.append(x)
    return [*found, normed(x, "model.norm") @ weights["lm_head.weight"].T]


def tokens(tokenizer: Any, prompt: str, counts: list[int]) -> list[int]:
    """A prompt's tokens; those of the n-th picture are -n, as the published processor has them."""
    found: list[int] = []
    for number, count in enumerate(counts, start=1):
        piece, prompt = prompt.split(f"<|image_{number}|>")
        found += tokenizer(piece)["input_ids"] + [-number] * count
    return found + tokenizer(prompt)["input_ids"]


def embeddings(weights: Weights, ids: list[int], pictures: list[torch.Tensor]) -> torch.Tensor:
    """The embeddings of a prompt, (positions, hidden size)."""
    table, waiting = weights["model.embed_tokens.weight"], {-n: list(one) for n, one in enumerate(pictures, start=1)}
    return torch.stack([table[number] if number >= 0 else waiting[number].pop(0) for number in ids])
