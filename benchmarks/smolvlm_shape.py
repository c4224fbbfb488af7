"""A model of SmolVLM-256M's shape, for measuring speed and memory at real size: IT ANSWERS NOTHING THAT MEANS ANYTHING.

Its decoder has SmolLM2-135M-Instruct's own weights and its tokenizer that model's; vision tower, projector and head
are random. It lies in the folder as on the Hub: 256 484 928 parameters, tiles of 512 pixels, 64 tokens a tile.

    python benchmarks/smolvlm_shape.py FOLDER --language resources/models/smollm2-135m-instruct

`--language` is the snapshot of a language model of 576 wide and 30 layers, as fetch_model leaves it.
"""

import argparse
import json
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

import torch
from transformers import AutoModelForCausalLM, Idefics3Config, Idefics3ForConditionalGeneration

from bitbudget.models import readers

PARAMETERS = 256_484_928
ROWS = 128  # of the embeddings, beside the language model's own
NOTE = "shape only: the vision tower, projector and head are random, so quality is absent and no answer means anything"
PLACES = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
ADDED = ["<global-img>", *PLACES, "<fake_token_around_image>", "<image>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PICTURES = {
    "image_processor_type": "Idefics3ImageProcessor", "processor_class": "Idefics3Processor",
    "do_image_splitting": True, "size": {"longest_edge": 2048}, "max_image_size": {"longest_edge": 512},
}  # fmt: skip


def make(folder: Path, language: Path, seed: int = 0) -> Path:
    """Write the model to `folder`, in float32; the same for the same seed."""
    torch.manual_seed(seed)
    decoder = AutoModelForCausalLM.from_pretrained(language, dtype=torch.float32)
    tokenizer = readers.load_tokenizer(language)
    named = {"image_token": "<image>", "fake_image_token": "<fake_token_around_image>"}
    named |= {"global_image_token": "<global-img>", "end_of_utterance_token": "<|im_end|>"}
    tokenizer.add_special_tokens({"additional_special_tokens": ADDED})
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    path.write_text(json.dumps(settings | {"extra_special_tokens": named}, indent=1))

    own = decoder.config.to_dict()
    rows = own["vocab_size"] + ROWS
    config = Idefics3Config(
        vision_config={
            "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
            "image_size": 512, "patch_size": 16,
        },
        text_config=own | {"vocab_size": rows, "tie_word_embeddings": False},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"), scale_factor=4, tie_word_embeddings=False,
        pad_token_id=own["pad_token_id"], bos_token_id=own["bos_token_id"], eos_token_id=own["eos_token_id"],
    )  # fmt: skip
    config.note = NOTE
    model = Idefics3ForConditionalGeneration(config).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS
    weights = {name: value for name, value in decoder.model.state_dict().items() if name != "embed_tokens.weight"}
    left_out = model.model.text_model.load_state_dict(weights, strict=False)
    assert left_out.missing_keys == ["embed_tokens.weight"] and not left_out.unexpected_keys
    known = decoder.get_input_embeddings().weight
    with torch.no_grad():
        model.get_input_embeddings().weight[: len(known)] = known
    model.generation_config.eos_token_id = own["eos_token_id"]
    model.generation_config.pad_token_id = own["pad_token_id"]
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PICTURES))
    (folder / "processor_config.json").write_text(
        json.dumps({"processor_class": "Idefics3Processor", "image_seq_len": 64})
    )
    (folder / "chat_template.jinja").write_text(TEMPLATE)  # in place of the language model's own
    return folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--language", type=Path, default=Path("resources/models/smollm2-135m-instruct"))
    arguments = parser.parse_args()
    print(make(arguments.folder, arguments.language), NOTE, sep=": ")
