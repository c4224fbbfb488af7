"""Small models of the real classes, with processors built here, as they would lie in a snapshot's folder."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import tiny_phi3_v
import tiny_tokenizers
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPVisionConfig,
    GPTNeoXConfig,
    Idefics3Config,
    LlamaConfig,
    LlavaConfig,
    LlavaProcessor,
    OPTConfig,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from bitbudget import files, registry
from bitbudget.models import checkpoint, groups
from bitbudget.runtimes.transformers import generation
from demo_recipes.vlm import CHAT_TEMPLATE

LLAVA = registry.module_of("family", "llava")
QWEN = registry.module_of("family", "qwen2-vl")
IDEFICS = registry.module_of("family", "idefics3")
BUNNY = registry.module_of("family", "bunny")
PHI3_V = registry.module_of("family", "phi3-v")
LLAMA = registry.module_of("family", "llama")
NEOX = registry.module_of("family", "gpt-neox")
OPT = registry.module_of("family", "opt")

# What a real checkpoint's template writes, shortened.
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 64, "intermediate_size": 128}


def tokenizer_of(specials: list[str], **settings) -> PreTrainedTokenizerFast:
    """Bytes and these special tokens, in this order from number 0."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*specials, *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **settings)


def randomize(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Weights as training leaves them: Gaussian, and rows of a matrix differ in scale by up to a factor of ten."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.dim() == 2:
            rows, columns = parameter.shape
            scales = 10 ** (torch.rand(rows, 1, generator=generator) - 0.5)
            parameter.data = torch.randn(rows, columns, generator=generator) * scales * columns**-0.5
    return model.eval().requires_grad_(False)


def build(family: ModuleType, config: Any, seed: int = 0) -> torch.nn.Module:
    """The family's model of this configuration, the same for the same seed."""
    torch.manual_seed(seed)
    return randomize(family.model_class().from_config(config), seed)


def llava(folder: Path, tied: bool = False, seed: int = 0) -> Path:
    """A LLaVA of 0.3 million parameters with 4 image tokens; answers end after some tokens, not all at once."""
    tokenizer = tokenizer_of(
        ["<pad>", "<s>", "</s>", "<unk>", "<image>"],
        pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
    )  # fmt: skip
    text = LlamaConfig(
        **SMALL, num_key_value_heads=2, vocab_size=len(tokenizer), pad_token_id=0, bos_token_id=1, eos_token_id=2,
        tie_word_embeddings=tied,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**SMALL, image_size=32, patch_size=16),
        text_config=text,
        image_token_index=4,
        image_seq_length=4,
        vision_feature_layer=-1,
        pad_token_id=0,
        tie_word_embeddings=tied,
    )
    model = build(LLAVA, config, seed)
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = 2, 0
    model.save_pretrained(folder)
    LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"height": 32, "width": 32}, do_center_crop=False),
        tokenizer=tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(folder)
    return folder


def qwen2_vl(folder: Path, tied: bool = True) -> Path:
    """A Qwen2-VL with the files of a real snapshot: no processor_config.json, and torchvision's class is named."""
    specials = "<|endoftext|> <|im_start|> <|im_end|> <|vision_start|> <|vision_end|> <|image_pad|> <|video_pad|>"
    tokenizer = tokenizer_of(specials.split(), eos_token="<|im_end|>", pad_token="<|endoftext|>")
    text = {
        **SMALL,
        "num_key_value_heads": 2,
        "vocab_size": len(tokenizer),
        "bos_token_id": 0,
        "eos_token_id": 2,
        "rope_parameters": {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1e6},
        "tie_word_embeddings": tied,
    }
    config = Qwen2VLConfig(
        vision_config={"depth": 2, "embed_dim": 64, "hidden_size": 64, "num_heads": 2, "patch_size": 14},
        text_config=text, vision_start_token_id=3, vision_end_token_id=4, image_token_id=5, video_token_id=6,
        tie_word_embeddings=tied,
    )  # fmt: skip
    build(QWEN, config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    pictures = {
        "min_pixels": 28 * 28, "max_pixels": 84 * 84, "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2,
        "image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2VLProcessor",
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))
    template = CHATML.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    return folder


def idefics3(folder: Path, tied: bool = False) -> Path:
    """An Idefics3 whose images are split into tiles, with the files of a real SmolVLM snapshot."""
    specials = ["<pad>", "<|im_start|>", "<|im_end|>", "<image>", "<fake_token_around_image>", "<global-img>"]
    specials += [f"<row_{row}_col_{column}>" for row in range(1, 4) for column in range(1, 4)]
    tokenizer = tokenizer_of(
        specials, pad_token="<pad>", bos_token="<|im_start|>", eos_token="<|im_end|>",
        extra_special_tokens={
            "image_token": "<image>", "fake_image_token": "<fake_token_around_image>",
            "global_image_token": "<global-img>", "end_of_utterance_token": "<|im_end|>",
        },
    )  # fmt: skip
    text = LlamaConfig(
        **SMALL, num_key_value_heads=2, vocab_size=len(tokenizer), pad_token_id=0, bos_token_id=1, eos_token_id=2,
        tie_word_embeddings=tied,
    )  # fmt: skip
    config = Idefics3Config(
        vision_config={**SMALL, "image_size": 32, "patch_size": 8}, text_config=text, image_token_id=3,
        pad_token_id=0, scale_factor=2, tie_word_embeddings=tied,
    )  # fmt: skip
    build(IDEFICS, config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    pictures = {
        "image_processor_type": "Idefics3ImageProcessor", "processor_class": "Idefics3Processor",
        "do_image_splitting": True, "size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32},
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))
    (folder / "processor_config.json").write_text(
        json.dumps({"processor_class": "Idefics3Processor", "image_seq_len": 4})
    )
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": CHATML.replace("IMAGE", "<image>")}))
    return folder


def bunny(folder: Path, tied: bool = False) -> Path:
    """A Bunny with Phi, and the files of a published one (see `tiny_bunny`)."""
    import tiny_bunny

    return tiny_bunny.bunny(folder, tie_word_embeddings=tied)


def llama(folder: Path, tied: bool = False, seed: int = 0, **settings: Any) -> Path:
    """A Llama with grouped queries, and a tokenizer that begins every text with `<s>` and has no padding."""
    tokenizer = generation.load_tokenizer(tiny_tokenizers.llama2(folder))
    given = {
        **SMALL, "num_key_value_heads": 1, "vocab_size": _whole_blocks(len(tokenizer)), "max_position_embeddings": 256,
        "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": tied,
    }  # fmt: skip
    build(LLAMA, LlamaConfig(**given | settings), seed).save_pretrained(folder)
    return folder


def gpt_neox(folder: Path, tied: bool = False, seed: int = 0, **settings: Any) -> Path:
    """A Pythia: attention and MLP side by side, rotation of a quarter of each head, and no token at the beginning."""
    tokenizer = generation.load_tokenizer(tiny_tokenizers.gpt_neox(folder))
    given = {
        **SMALL, "vocab_size": _whole_blocks(len(tokenizer)), "max_position_embeddings": 256,
        "bos_token_id": 0, "eos_token_id": 0, "tie_word_embeddings": tied,
    }  # fmt: skip
    build(NEOX, GPTNeoXConfig(**given | settings), seed).save_pretrained(folder)
    return folder


def opt(folder: Path, tied: bool = True, seed: int = 0, **settings: Any) -> Path:
    """An OPT, whose learned positions show at once where padding is counted, with the files of a real snapshot."""
    tokenizer = generation.load_tokenizer(tiny_tokenizers.opt(folder))
    given = {
        "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 64, "ffn_dim": 128, "word_embed_proj_dim": 64,
        "vocab_size": _whole_blocks(len(tokenizer)), "max_position_embeddings": 256, "pad_token_id": 1,
        "bos_token_id": 2, "eos_token_id": 2, "tie_word_embeddings": tied,
    }  # fmt: skip
    build(OPT, OPTConfig(**given | settings), seed).save_pretrained(folder)
    return folder


def _whole_blocks(tokens: int) -> int:
    """The next multiple of 64: models' vocabularies are larger than their tokenizers'."""
    return -(-tokens // 64) * 64


TEXT_MAKERS = {"llama": (llama, LLAMA), "gpt-neox": (gpt_neox, NEOX), "opt": (opt, OPT)}
MAKERS = {
    "llava": (llava, LLAVA),
    "qwen2-vl": (qwen2_vl, QWEN),
    "idefics3": (idefics3, IDEFICS),
    "bunny": (bunny, BUNNY),
    "phi3-v": (tiny_phi3_v.write, PHI3_V),
}
SIZES = [(40, 30), (100, 200), (33, 64)]


def assignment(family: ModuleType, dtype: str, **chosen: str | dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every group's format with its options, as a study resolves it; a dot in a group's name is written `_`."""
    named = {}
    for group, given in chosen.items():
        spec = {"format": given} if isinstance(given, str) else given
        options = {key: rule["default"] for key, rule in registry.format_of(spec["format"]).options.items()}
        named[group.replace("_", ".")] = options | spec
    return groups.resolve(named, family.GROUPS, {"format": dtype})


def make_checkpoint(source: Path, folder: Path, family: ModuleType, dtype: str = "float32", **chosen: Any) -> Path:
    """A checkpoint of a snapshot in these formats, with the part of the manifest that loading needs."""
    model = checkpoint.original(source, family, dtype)
    layers, tensors = checkpoint.quantize(model, family, assignment(family, dtype, **chosen), "cpu")
    made = checkpoint.save(folder, source, model, tensors, layers)
    files.write_json(folder / checkpoint.MANIFEST, {"dtype": dtype, "device": "cpu", **made})
    return folder


def seal(folder: Path) -> None:
    """Have a checkpoint's manifest say of its files what they are now, as if they had been made so."""
    made = files.read_json(folder / checkpoint.MANIFEST)
    files.write_json(
        folder / checkpoint.MANIFEST, made | checkpoint.described(folder, made["layers"], made["snapshot"])
    )


def inputs_of(folder: Path, family: ModuleType, dtype: torch.dtype = torch.float32) -> Any:
    """A batch of three pictures of different sizes, asked with texts of different lengths."""
    pictures = [[Image.linear_gradient("L").resize(size).convert("RGB")] for size in SIZES]
    texts = ["What?", "Describe the image in one sentence.", "And now?"]
    return generation.prepare(generation.load_processor(folder), family, pictures, texts, "cpu", dtype)
