"""The module groups of a model, read from the model itself.

transformers says of every model what its decoder is (`get_decoder`), its input and output embeddings, and which
configuration each of its parts was built from. The rest follows: modules of the vision configuration are `vision`, the
decoder is `language`, and what is left of a model that sees stands between them and is its `projector`. Within the
decoder's layers, attention and multi-layer perceptron are known by their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

from bitbudget.errors import UserError
from bitbudget.models.groups import AUDIO, DECODER, EMBEDDINGS, HEAD, PROJECTOR, VISION, Groups

if TYPE_CHECKING:
    from torch import nn

# Names of a decoder layer's parts, in any of the forms that transformers' models have.
KINDS = {
    "language.attention": re.compile(r"attn|attention", re.IGNORECASE),
    "language.mlp": re.compile(
        r"mlp|ffn|feed_?forward|moe|^experts$|^fc\d?$|^fc_(in|out)$|^dense_?relu_?dense$|^intermediate$|^output$"
        r"|^dense_h_to_4h$|^dense_4h_to_h$",
        re.IGNORECASE,
    ),
}
RUNS_ELSEWHERE = "runs_elsewhere"  # an attribute of a module whose weights a file holds, for another program
EXPERTS = "experts"  # the name that transformers gives to all of a layer's experts together
NOT_A_PART = re.compile(r"norm|rotary|dropout|layer_?scale", re.IGNORECASE)  # as in post_attention_layernorm
# What ends a vision tower, or begins a decoder that has one, and is the projector: Qwen2-VL's merger, and the like.
ENDS = re.compile(r"merger|projector|visual_projection|connector|aligner|resampler|abstractor", re.IGNORECASE)


def groups(family: ModuleType, model: nn.Module) -> Groups:
    """The module groups of a model: those that its family names by their paths, else those that the model has.

    Every parameter belongs to one of them. Raises `UserError` where the model does not say what its decoder is.
    """
    return family.GROUPS if isinstance(family.GROUPS, dict) else read(model)


def vision_modules(family: ModuleType, model: nn.Module) -> tuple[str, ...]:
    """The topmost modules whose forward passes are the encoding of pictures; empty for a model that sees none.

    A model that another program runs in part says so itself.
    """
    if (own := getattr(model, "vision_modules", None)) is not None:
        return own
    found = groups(family, model)
    inside = tuple(f"{path}." for path in found.get(VISION, ()) + found.get(DECODER, ()))
    towers = found.get(VISION, ())
    around = [path for path in found.get(PROJECTOR, ()) if any(one.startswith(f"{path}.") for one in towers)]
    between = [path for path in found.get(PROJECTOR, ()) if not path.startswith(inside)]
    apart = [path for path in (*towers, *between) if not path.startswith(tuple(f"{one}." for one in around))]
    return tuple(path for start in dict.fromkeys([*apart, *around]) for path in called(model, start))


def called(model: nn.Module, path: str) -> Iterator[str]:
    """The module at a path, or where it is a mere list of modules, those in it; nothing for a parameter.

    A module without weights computes nothing of weight, but where another program holds them (`RUNS_ELSEWHERE`).
    """
    from torch import nn

    try:
        module = model.get_submodule(path)
    except AttributeError:
        return
    if not any(True for _ in module.parameters()) and not any(hasattr(one, RUNS_ELSEWHERE) for one in module.modules()):
        return
    if isinstance(module, nn.ModuleList | nn.ModuleDict):
        for name, _ in module.named_children():
            yield from called(model, f"{path}.{name}")
    else:
        yield path


def read(model: nn.Module) -> Groups:
    """The module groups that a model of transformers has, as paths in it (see `bitbudget.models.groups`)."""
    paths: dict[int, list[str]] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        paths.setdefault(id(module), []).append(path)
    reading = _reading(model)
    seen = _built_from(model, "vision") or _picture_encoder(model, reading)
    branches = [child for module in reading for child in module.children() if _within(child, seen)]
    known = {
        DECODER: reading,
        VISION: seen,
        AUDIO: _built_from(model, "audio"),
        EMBEDDINGS: [*_embeddings(model, reading[0], branches)],
        HEAD: [*_head(model, reading[0])],
    }
    found = {group: [path for module in modules for path in paths[id(module)]] for group, modules in known.items()}
    rest = _left(model, {path for group in found.values() for path in group})
    if found[VISION] or "image" in getattr(model, "input_modalities", ()):
        around = [module for module in reading if any(one is not module for one in _within(module, known[VISION]))]
        found[PROJECTOR] = [*rest] + [
            path
            for module in (*known[VISION], *around)
            for name, end in module.named_children()
            if ENDS.search(name) or (end in branches and end not in seen)
            for path in paths[id(end)]
        ]
    else:
        found[DECODER] += rest
    for module in reading:
        for path in paths[id(module)]:
            for group, pattern in _parts(module, path, branches):
                found.setdefault(group, []).append(pattern)
    order = (VISION, AUDIO, PROJECTOR, EMBEDDINGS, DECODER, *KINDS, f"language.mlp.{EXPERTS}", HEAD)
    return {group: tuple(dict.fromkeys(path or "*" for path in found[group])) for group in order if found.get(group)}


def _within(module: nn.Module, ones: list[nn.Module]) -> list[nn.Module]:
    """Those of these modules that lie in a module."""
    inside = {id(one) for one in module.modules()}
    return [one for one in ones if id(one) in inside]


def _reading(model: nn.Module) -> list[nn.Module]:
    """The decoder, and the encoder of texts where a model has one of its own."""
    decoder = model.get_decoder()
    if decoder is None:
        raise UserError(
            f"models of type {model.config.model_type} do not say which part of them is the decoder, so nothing is "
            "known of their module groups: choose another model."
        )
    if decoder is model.get_output_embeddings():  # ModernBERT's decoder calls its head so
        decoder = model.base_model
    encoder = _encoder(model)
    text = encoder is not None and not _reads_patches(encoder) and not _within(encoder, [decoder])
    return [decoder, encoder] if text and not _within(decoder, [encoder]) else [decoder]


def _picture_encoder(model: nn.Module, reading: list[nn.Module]) -> list[nn.Module]:
    """The encoder of a model whose configuration does not call it its vision: a ViT before a decoder of texts."""
    encoder = _encoder(model)
    return [encoder] if encoder is not None and _reads_patches(encoder) and encoder not in reading else []


def _encoder(model: nn.Module) -> nn.Module | None:
    encoder = model.get_encoder() if model.config.is_encoder_decoder else None
    return None if encoder is model else encoder


def _reads_patches(encoder: nn.Module) -> bool:
    """Whether an encoder takes nothing but pictures."""
    return getattr(encoder, "main_input_name", "") in ("pixel_values", "flattened_patches")


def _built_from(model: nn.Module, what: str) -> list[nn.Module]:
    """The topmost modules below the model that were built from one of its configurations with this in its name."""
    configs = [model.config, getattr(model.config, "encoder", None)]
    own = [
        getattr(config, key, None) for config in configs for key in getattr(config, "sub_configs", {}) if what in key
    ]
    found: dict[str, nn.Module] = {}
    for path, module in model.named_modules():
        if path and not path.startswith(tuple(f"{above}." for above in found)):
            config = getattr(module, "config", None)
            if config is not None and any(config is one for one in own):
                found[path] = module
    return list(found.values())


def _embeddings(model: nn.Module, decoder: nn.Module, branches: list[nn.Module]) -> Iterator[nn.Module]:
    """What tokens, and in some models their positions, are looked up in; not those of a decoder's `branches`."""
    from torch import nn

    try:
        if (own := model.get_input_embeddings()) is not None:
            yield own
    except NotImplementedError:
        pass
    apart = _all_in(branches)
    for path, module in decoder.named_modules():
        if isinstance(module, nn.Embedding) and id(module) not in apart and not re.search(r"\.\d+\.", f".{path}."):
            yield module


def _head(model: nn.Module, decoder: nn.Module) -> Iterator[nn.Module]:
    for owner in (model, decoder):
        head = getattr(owner, "get_output_embeddings", lambda: None)()
        if head is not None:
            yield head
            return


def _left(model: nn.Module, anchors: set[str]) -> Iterator[str]:
    """The topmost modules and parameters of a model that lie neither in one of the anchors nor around one."""

    def walk(module: nn.Module, path: str) -> Iterator[str]:
        if path in anchors:
            return
        if path and not any(anchor.startswith(f"{path}.") for anchor in anchors):
            yield path
            return
        start = f"{path}." if path else ""
        for name in (*module._parameters, *module._buffers):
            yield start + name
        for name, child in module.named_children():
            yield from walk(child, start + name)

    return walk(model, "")


def _all_in(modules: list[nn.Module]) -> set[int]:
    """The identities of these modules and of all that lie in them."""
    return {id(inner) for module in modules for inner in module.modules()}


def _parts(decoder: nn.Module, start: str, branches: list[nn.Module]) -> Iterator[tuple[str, str]]:
    """Attention, multi-layer perceptron and experts of the decoder's layers: groups, and paths with `*` for numbers.

    Those of its `branches`, in which a tower lies, are none.
    """
    taken: dict[str, str] = {}  # path: group
    apart = _all_in(branches)
    for path, inner in decoder.named_modules(remove_duplicate=False):
        if id(inner) in apart:
            continue
        *above, name = path.split(".")
        group = next((taken[owner] for owner in _owners(above) if owner in taken), None)
        if group is not None:
            if name == EXPERTS and group == "language.mlp":
                taken[path] = f"{group}.{EXPERTS}"
        elif any(part.isdigit() for part in above) and not NOT_A_PART.search(name):
            kind = next((kind for kind, names in KINDS.items() if names.search(name)), None)
            if kind is not None:
                taken[path] = f"{kind}.{EXPERTS}" if name == EXPERTS else kind
    for path, group in taken.items():
        whole = f"{start}.{path}" if start else path
        yield group, ".".join("*" if part.isdigit() else part for part in whole.split("."))


def _owners(parts: list[str]) -> Iterator[str]:
    for length in range(len(parts), 0, -1):
        yield ".".join(parts[:length])
