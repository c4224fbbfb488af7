"""Bunny's model: pictures through tower and projector, in the place of their tokens, into the language model."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional
from transformers import AutoModel, GenerationMixin, PreTrainedModel, SiglipVisionModel
from transformers.cache_utils import Cache
from transformers.core_model_loading import WeightRenaming
from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling, CausalLMOutputWithPast

from bitbudget.models.native.bunny.configuration import BunnyConfig

Tensor = torch.Tensor


def renamings() -> list[WeightRenaming]:
    """From the published names of weights to those here; the projector's and the head's are the same."""
    decoder = ("embed_tokens", "layers", "norm", "final_layernorm")
    return [
        WeightRenaming(r"^model\.vision_tower\.vision_tower\.vision_model\.", "model.vision_tower."),
        *(WeightRenaming(rf"^model\.{part}\.", f"model.language_model.{part}.") for part in decoder),
    ]


class BunnyTower(SiglipVisionModel):
    """SigLIP without its last layer; its final norm, whose weights are published, is not used.

    With several `scales` it looks at a picture at each of them, in pieces of its own size, and the features of a place
    stand side by side (S2: Shi et al., arXiv 2403.13043).
    """

    def __init__(self, config: Any, scales: tuple[int, ...]) -> None:
        super().__init__(config)
        self.scales = scales
        unused = rf"vision_tower\.(head|encoder\.layers\.{config.num_hidden_layers})\."
        self._keys_to_ignore_on_load_unexpected = {unused}  # of a checkpoint that holds the whole tower

    def forward(self, pixel_values: Tensor, **kwargs: Any) -> Tensor:
        """Features (pictures, patches, width x scales) of pixels (pictures, 3, side, side)."""
        return torch.cat([self._at(scale, pixel_values) for scale in self.scales], dim=-1)

    def _at(self, scale: int, pixels: Tensor) -> Tensor:
        """The features at one scale, averaged over as many places as the tower itself has."""
        own, pictures, times = self.config.image_size, len(pixels), scale // self.config.image_size
        if scale != pixels.shape[-1]:
            pixels = functional.interpolate(pixels.float(), size=scale, mode="bicubic").to(pixels.dtype)
        pieces = pixels.unfold(2, own, own).unfold(3, own, own).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
        seen = self.encoder(inputs_embeds=self.embeddings(pieces)).last_hidden_state
        if times == 1:
            return seen
        places = own // self.config.patch_size
        grid = seen.view(pictures, times, times, places, places, -1).permute(0, 5, 1, 3, 2, 4)
        grid = grid.reshape(pictures, -1, times * places, times * places)
        return functional.avg_pool2d(grid.float(), times).to(seen.dtype).flatten(2).transpose(1, 2)


class BunnyPreTrainedModel(PreTrainedModel):
    """What transformers asks of both models below."""

    config: BunnyConfig
    base_model_prefix = "model"
    input_modalities = ("image", "text")
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True


class BunnyModel(BunnyPreTrainedModel):
    """Tower, projector and decoder."""

    def __init__(self, config: BunnyConfig) -> None:
        super().__init__(config)
        self.vision_tower = BunnyTower._from_config(config.vision_config, scales=config.scales)
        width, depth = config.text_config.hidden_size, int(config.mm_projector_type[3])
        layers: list[nn.Module] = [nn.Linear(config.mm_hidden_size, width)]
        for _ in range(1, depth):
            layers += [nn.GELU(), nn.Linear(width, width)]
        self.mm_projector = nn.Sequential(*layers)
        self.language_model = AutoModel.from_config(config.text_config)
        self.post_init()

    def get_image_features(self, pixel_values: Tensor, **kwargs: Any) -> BaseModelOutputWithPooling:
        """`pooler_output`: of each picture (pictures, 3, height, width) what takes the place of its tokens."""
        seen = self.vision_tower(pixel_values.to(self.vision_tower.dtype))
        return BaseModelOutputWithPooling(last_hidden_state=seen, pooler_output=list(self.mm_projector(seen)))

    def get_placeholder_mask(self, input_ids: Tensor, features: Tensor) -> Tensor:
        """Where image tokens stand, (rows, positions, 1). Raises `ValueError` where there are not as many features."""
        here = input_ids == self.config.image_token_id
        if len(features) != here.sum():
            raise ValueError(f"there are {here.sum()} image tokens and {len(features)} features of pictures")
        return here[..., None]

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Pixels, or what `get_image_features` made of them, in the place of image tokens, in their order."""
        seen = (mm_encoder_outputs or {}).get("image")
        if seen is None and pixel_values is not None:
            seen = self.get_image_features(pixel_values)
        if inputs_embeds is None:
            here = input_ids == self.config.image_token_id
            inputs_embeds = self.get_input_embeddings()(input_ids.masked_fill(here, 0))
            if seen is not None:
                features = torch.cat(seen.pooler_output).to(inputs_embeds)
                inputs_embeds = inputs_embeds.masked_scatter(self.get_placeholder_mask(input_ids, features), features)
        return self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            **kwargs,
        )


class BunnyForConditionalGeneration(BunnyPreTrainedModel, GenerationMixin):
    """Bunny with its head, which has no bias, not even where the language model's own has one (Phi)."""

    _tied_weights_keys: ClassVar = {"lm_head.weight": "model.language_model.embed_tokens.weight"}

    def __init__(self, config: BunnyConfig) -> None:
        super().__init__(config)
        self.model = BunnyModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    def get_image_features(self, pixel_values: Tensor, **kwargs: Any) -> BaseModelOutputWithPooling:
        """As `BunnyModel.get_image_features`."""
        return self.model.get_image_features(pixel_values, **kwargs)

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits (rows, positions, vocabulary), of the last `logits_to_keep` positions where that is not 0."""
        out = self.model(
            input_ids=input_ids,
            pixel_values=pixel_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            mm_encoder_outputs=mm_encoder_outputs,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(out.last_hidden_state[:, kept]) / getattr(self.config.text_config, "logits_scaling", 1)
        return CausalLMOutputWithPast(
            logits=logits,
            past_key_values=out.past_key_values,
            hidden_states=out.hidden_states,
            attentions=out.attentions,
        )


def model_of(configuration: type[BunnyConfig]) -> type[BunnyForConditionalGeneration]:
    """The model class of one kind: transformers wants one for each class of configuration."""
    name = configuration.__name__.replace("Config", "ForConditionalGeneration")
    return type(name, (BunnyForConditionalGeneration,), {"config_class": configuration})
