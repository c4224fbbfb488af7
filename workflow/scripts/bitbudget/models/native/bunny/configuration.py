"""Bunny's config.json: the language model's own keys, flat, with a few of Bunny's among them.

It names the vision tower and does not describe it, and each kind of language model has a `model_type` of its own. Read,
it is a `text_config` of transformers and a `vision_config`; so it stands in a checkpoint, which is read as well.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, ClassVar

from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig, SiglipVisionConfig
from transformers.configuration_utils import SubConfigSpec

from bitbudget.errors import UserError

# Each kind's language model in transformers. MiniCPM is Granite with other names for its factors (`_minicpm`).
LANGUAGES = {
    "bunny-phi": "phi",  # Phi-2, Phi-1.5
    "bunny-phi3": "phi3",
    "bunny-llama": "llama",  # Llama 3
    "bunny-qwen": "qwen2",  # Qwen1.5, as the first release calls it
    "bunny-qwen2": "qwen2",
    "bunny-stablelm": "stablelm",
    "bunny-minicpm": "granite",
}
# The features of a picture are those before the tower's last layer and final norm. The published files of v1.0-3B have
# neither that layer nor the pooling head, so that 26 of the 27 layers of SigLIP SO400M are left.
TOWERS = {
    "siglip-so400m-patch14-384": {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 26,
        "num_attention_heads": 16,
        "image_size": 384,
        "patch_size": 14,
        "vision_use_head": False,
    }
}
ROTARY = ("rope_theta", "rope_scaling", "partial_rotary_factor")  # which transformers gathers in `rope_parameters`
EARLIER = {"norm_eps": "layer_norm_eps", "rope_pct": "partial_rotary_factor"}  # names in StableLM's first code


class BunnyConfig(PreTrainedConfig):
    """What all kinds share. Raises `UserError` for a tower or projector that is not built here."""

    sub_configs_defaults: ClassVar = {"vision_config": SiglipVisionConfig}

    vision_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    tie_word_embeddings: bool | None = None
    image_token_id: int | None = None  # the first number beyond the vocabulary, where the published code has -200
    image_aspect_ratio: str | None = None
    mm_vision_tower: str = "google/siglip-so400m-patch14-384"
    mm_hidden_size: int = 1152
    mm_projector_type: str = "mlp2x_gelu"
    use_s2: bool = False
    s2_scales: str = "384,768,1152"

    def __post_init__(self, **kwargs: Any) -> None:
        kwargs.pop("auto_map", None)  # code, which is not run
        if self.text_config is None:
            self.text_config, kwargs = self._language(kwargs)
        if self.vision_config is None:
            self.vision_config = self._tower()
        super().__post_init__(**kwargs)
        if self.image_token_id is None:
            self.image_token_id = self.text_config.vocab_size
        if self.tie_word_embeddings is None:
            self.tie_word_embeddings = self.text_config.tie_word_embeddings
        if not re.fullmatch(r"mlp[1-9]x_gelu", self.mm_projector_type):
            raise UserError(
                f"config.json names the projector {self.mm_projector_type!r}, and of Bunny's projectors only "
                "mlp2x_gelu and its like are built here: choose another model."
            )
        if any(scale % self.vision_config.image_size for scale in self.scales):
            raise UserError(
                f"config.json has the scales {self.s2_scales!r}, and its vision tower looks at pieces of "
                f"{self.vision_config.image_size} pixels, of which each has to be a multiple: correct `s2_scales`."
            )

    @property
    def scales(self) -> tuple[int, ...]:
        """The sides in pixels at which the tower looks at a picture; more than one in v1.1 (`S2`)."""
        own = self.vision_config.image_size
        return tuple(sorted(map(int, self.s2_scales.split(",")))) if self.use_s2 else (own,)

    def _language(self, said: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The keys of the language model among those that config.json says beside Bunny's, and the others."""
        said = {EARLIER.get(key, key): value for key, value in said.items()}
        if self.tie_word_embeddings is not None:
            said["tie_word_embeddings"] = self.tie_word_embeddings
        if self.model_type == "bunny-minicpm":
            said = _minicpm(said)
        language = LANGUAGES[self.model_type]
        known = {field.name for field in dataclasses.fields(CONFIG_MAPPING[language])} | set(ROTARY)
        own = {key: value for key, value in said.items() if key in known}
        if "tokenizer_model_max_length" in said and "max_position_embeddings" in own:  # Bunny was trained with fewer
            own["max_position_embeddings"] = min(own["max_position_embeddings"], said["tokenizer_model_max_length"])
        return {"model_type": language, **own}, {key: value for key, value in said.items() if key not in known}

    def _tower(self) -> dict[str, Any]:
        name = self.mm_vision_tower.rstrip("/").rpartition("/")[2]
        if name not in TOWERS:
            raise UserError(
                f"config.json names the vision tower {self.mm_vision_tower!r}, and of Bunny's towers only "
                f"{', '.join(TOWERS)} is built here: choose a Bunny with SigLIP."
            )
        return dict(TOWERS[name])


def _minicpm(said: dict[str, Any]) -> dict[str, Any]:
    """MiniCPM's factors of embeddings, layers and logits (Hu et al., arXiv 2404.06395) under Granite's names."""
    width, layers, heads = said["hidden_size"], said["num_hidden_layers"], said["num_attention_heads"]
    factors = {
        "embedding_multiplier": said.pop("scale_emb", 1),
        "residual_multiplier": said.pop("scale_depth", 1) / layers**0.5,
        "attention_multiplier": (width // heads) ** -0.5,
        "logits_scaling": width / said.pop("dim_model_base", 1),
    }
    return {"tie_word_embeddings": True} | said | factors


def _configuration(model_type: str, language: str) -> type[BunnyConfig]:
    specs = BunnyConfig.sub_configs_defaults | {"text_config": SubConfigSpec(AutoConfig, language)}
    name = "".join(part.title() for part in model_type.split("-")) + "Config"
    return type(name, (BunnyConfig,), {"model_type": model_type, "sub_configs_defaults": specs})


CONFIGURATIONS = {model_type: _configuration(model_type, language) for model_type, language in LANGUAGES.items()}
