"""Phi-3-vision's config.json: that of a Phi-3 decoder, and beside it how pictures become embeddings."""

from __future__ import annotations

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import CLIPVisionConfig, Phi3Config
from transformers.configuration_utils import SubConfigSpec

TOWER = "openai/clip-vit-large-patch14-336"
# config.json names the tower and does not describe it.
SIZES = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
    "image_size": 336, "patch_size": 14, "projection_dim": 768,
}  # fmt: skip
ORDERS = ("sub_glb", "glb_sub")  # crops, then the whole picture; or the other way round
# What the model does, of what `embd_layer` could ask for.
BUILT = {"projection_cls": "mlp", "use_hd_transform": True, "with_learnable_separator": True}
FOREIGN = ("auto_map", "_attn_implementation")  # code that is not run, and a kernel that a machine may lack


@strict
class Phi3VConfig(Phi3Config):
    """The configuration; `vision_config` is CLIP ViT-L/14 at 336 pixels unless config.json has one.

    `image_token_id` is the number of `<|image|>`, which stands where the embeddings of pictures go. The published code
    has negative numbers there, which no tokenizer can write out. Raises `ValueError` for a model that is put together
    in another way than the published ones.
    """

    model_type = "phi3_v"
    sub_configs_defaults = {"vision_config": SubConfigSpec(CLIPVisionConfig, init_kwargs=SIZES)}  # noqa: RUF012

    vision_config: dict | CLIPVisionConfig | None = None
    img_processor: dict | None = None
    embd_layer: dict | None = None
    image_token_id: int = 32044

    def __post_init__(self, **kwargs: Any) -> None:
        self.img_processor = {"name": "clip_vision_model", "model_name": TOWER} | (self.img_processor or {})
        self.embd_layer = {"hd_transform_order": "sub_glb"} | BUILT | (self.embd_layer or {})
        rope = kwargs.get("rope_scaling")
        if rope and rope.get("type") == "su":  # LongRoPE, by the name that it had first
            kwargs["rope_scaling"] = rope | {"type": "longrope"}
        self._refuse_others()
        super().__post_init__(**{key: value for key, value in kwargs.items() if key not in FOREIGN})

    def _refuse_others(self) -> None:
        """Raise `ValueError` for another tower, projector or order of crops than is built here."""
        if self.img_processor["model_name"] != TOWER or self.img_processor.get("type_feature", "patch") != "patch":
            raise ValueError(f"img_processor asks for another vision tower than the patches of {TOWER}")
        other = [f"{key}: {self.embd_layer[key]}" for key in BUILT if self.embd_layer[key] != BUILT[key]]
        if self.order not in ORDERS:
            other.append(f"hd_transform_order: {self.order}")
        if other:
            raise ValueError(f"embd_layer asks for what no published Phi-3-vision has ({', '.join(other)})")

    @property
    def order(self) -> str:
        """Which part of a picture comes first, one of `ORDERS`."""
        return self.embd_layer["hd_transform_order"]

    @property
    def tower_layer(self) -> int:
        """The layer of the tower that is used, from 1; 0 is what goes into the first one."""
        chosen = self.img_processor.get("layer_idx", -2)
        return chosen + self.vision_config.num_hidden_layers + 1 if chosen < 0 else chosen
