"""Phi-3-vision: transformers' Phi-3 decoder, with the embeddings of pictures in the place of their tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.models.phi3.modeling_phi3 import Phi3Model, Phi3PreTrainedModel

from bitbudget.models.native.phi3_v.configuration import Phi3VConfig
from bitbudget.models.native.phi3_v.pictures import Pictures
from bitbudget.models.native.phi3_v.rotation import Phi3VRotaryEmbedding, switching_length


class Phi3VModel(Phi3Model):
    """The decoder, and in it what makes embeddings of pictures, as the files have it."""

    config_class = Phi3VConfig

    def __init__(self, config: Phi3VConfig) -> None:
        super().__init__(config)
        self.rotary_emb = Phi3VRotaryEmbedding(config)
        self.vision_embed_tokens = Pictures(config)
        self.post_init()


class Phi3VForCausalLM(Phi3PreTrainedModel, GenerationMixin):
    """What is loaded; its weights have the names of the published files."""

    config_class = Phi3VConfig
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012

    def __init__(self, config: Phi3VConfig) -> None:
        super().__init__(config)
        self.model = Phi3VModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_image_features(self, pixel_values: Tensor, image_sizes: Tensor) -> tuple[Tensor, ...]:
        """The embeddings of each picture, (its tokens, hidden size); see `Pictures`."""
        return self.model.vision_embed_tokens(pixel_values, image_sizes)

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_sizes: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        image_copies: int = 1,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits (rows, positions, vocabulary), of the last `logits_to_keep` positions where that is not 0.

        `pixel_values` and `image_sizes` are of all pictures in the order of their tokens; with `image_copies`, each row
        of tokens stands so many times one after another, and its pictures once.
        """
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
            if pixel_values is not None:
                features = self.get_image_features(pixel_values, image_sizes)
                inputs_embeds = self._with_pictures(input_ids, inputs_embeds, features, image_copies)
        if position_ids is None and attention_mask is not None and attention_mask.dim() == 2:
            counted = (attention_mask.cumsum(-1) - 1).clamp(min=0)  # padding has no positions of its own
            position_ids = counted[:, -inputs_embeds.shape[1] :]
        outputs = self.model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        return CausalLMOutputWithPast(
            logits=self.lm_head(outputs.last_hidden_state[:, kept]),
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def _with_pictures(self, input_ids: Tensor, embeddings: Tensor, features: Any, copies: int) -> Tensor:
        """The embeddings of a batch of tokens, those of pictures put in. Raises `ValueError` where numbers differ."""
        places = input_ids == self.config.image_token_id
        each, given = torch.cat(features), sum(len(one) for one in features)
        if int(places.sum()) != given * copies:
            raise ValueError(f"{int(places.sum())} image tokens for pictures of {given * copies} embeddings")
        if copies > 1:
            of_rows = each.split(places[::copies].sum(-1).tolist())
            each = torch.cat([one for one in of_rows for _ in range(copies)])
        return embeddings.masked_scatter(places[..., None], each.to(embeddings.dtype))

    def _expand_inputs_for_generation(self, expand_size: int = 1, **inputs: Any) -> tuple[Tensor, dict[str, Any]]:
        """Rows once for each beam, pictures not: they are as many as a row has, and are encoded once."""
        pictures = {key: inputs.pop(key) for key in ("pixel_values", "image_sizes") if key in inputs}
        ids, inputs = super()._expand_inputs_for_generation(expand_size=expand_size, **inputs)
        return ids, inputs | pictures | ({"image_copies": expand_size} if pictures else {})

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, past_key_values: Any = None, attention_mask: Tensor | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """As ever; where a row has just outgrown the frequencies of short texts, everything is read anew."""
        limit = switching_length(self.config)
        if past_key_values and past_key_values.get_seq_length() and limit is not None:
            whole = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            if (whole.sum(-1) == limit + 1).any():
                past_key_values = None
                kwargs |= {"next_sequence_length": None, "is_first_iteration": True}
        return super().prepare_inputs_for_generation(
            input_ids, past_key_values=past_key_values, attention_mask=attention_mask, **kwargs
        )
