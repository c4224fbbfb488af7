"""Bunny, held against a transcription in plain torch and against what is known of the published files."""

import json
from math import prod

import bunny_in_plain_torch as plain
import numpy as np
import pytest
import tiny_bunny
import tiny_models as tiny
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from bitbudget.errors import UserError
from bitbudget.models import checkpoint, readers, snapshots
from bitbudget.runtimes.transformers import generation

FAMILY = tiny_bunny.FAMILY
PREAMBLE = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions. "
)
# config.json of BAAI/Bunny-v1_0-3B, without what says how it was trained.
PUBLISHED_3B = {
    "architectures": ["BunnyPhiForCausalLM"], "attention_dropout": 0.0,
    "auto_map": {
        "AutoConfig": "configuration_bunny_phi.BunnyPhiConfig",
        "AutoModelForCausalLM": "modeling_bunny_phi.BunnyPhiForCausalLM",
    },
    "bos_token_id": 50256, "embd_pdrop": 0.0, "eos_token_id": 50256, "hidden_act": "gelu_new", "hidden_size": 2560,
    "image_aspect_ratio": "pad", "initializer_range": 0.02, "intermediate_size": 10240, "layer_norm_eps": 1e-05,
    "max_position_embeddings": 2048, "mm_hidden_size": 1152, "mm_projector_type": "mlp2x_gelu",
    "mm_vision_tower": "google/siglip-so400m-patch14-384", "model_type": "bunny-phi", "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 32, "pad_token_id": 50256, "partial_rotary_factor": 0.4,
    "qk_layernorm": False, "resid_pdrop": 0.1, "rope_scaling": None, "rope_theta": 10000.0,
    "tie_word_embeddings": False, "tokenizer_model_max_length": 2048, "tokenizer_padding_side": "right",
    "torch_dtype": "float16", "transformers_version": "4.36.2", "use_cache": True, "vocab_size": 50295,
}  # fmt: skip


def loaded(folder):
    return checkpoint.load_original(folder, FAMILY, "float32")


def blank(config, folder):
    """The model of a config.json, without weights."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    with torch.device("meta"):
        return FAMILY.model_class().from_config(readers.load_configuration(folder))


def noise(side, seed=0):
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


S2 = {"use_s2": True, "s2_scales": "28,56,84", "mm_hidden_size": 3 * 32}
VARIANTS = [*((kind, {}) for kind in tiny_bunny.LANGUAGES), ("bunny-llama", S2)]
NAMES = [*tiny_bunny.LANGUAGES, "version 1.1"]


@pytest.mark.parametrize(("kind", "settings"), VARIANTS, ids=NAMES)
def test_every_layer_is_as_the_descriptions_say(tmp_path, kind, settings):
    config = tiny_bunny.config_of(kind, **settings)
    model = loaded(tiny_bunny.bunny(tmp_path, kind, sharpness=1, **settings))  # rounding is not multiplied
    pixels = noise(84 if settings else 28)
    ids = [17, 40, 8, -200, 99, 5, 60, 61]
    wanted, seen, read = plain.logits(load_file(tmp_path / "model.safetensors"), config, ids, pixels)

    tower, decoder = model.model.vision_tower.encoder.layers, model.model.language_model.layers
    found = {layer: [] for layer in [*tower, *decoder]}  # of a picture in pieces, a layer's output for each of them
    for layer in found:
        layer.register_forward_hook(lambda layer, _, out: found[layer].extend(out))
    given = torch.tensor([ids[:3] + [model.config.image_token_id] * 4 + ids[4:]])
    with torch.inference_mode():
        logits = model(input_ids=given, pixel_values=pixels[None]).logits[0]
    close = {"rtol": 1e-4, "atol": 1e-4}
    for number, layer in enumerate(tower):
        torch.testing.assert_close(torch.stack(found[layer]), torch.stack(seen[number :: len(tower)]), **close)
    for layer, expected in zip(decoder, read, strict=True):
        torch.testing.assert_close(found[layer][0], expected, **close)
    torch.testing.assert_close(logits, wanted, **close)
    assert wanted.std() > 0.01
    assert len(found[tower[0]]) == (1 + 4 + 9 if settings else 1)


def test_the_published_files_of_bunny_3b_hold_these_very_weights(tmp_path):
    """The three sizes are those of the repository's files: names, shapes and order of 877 weights to the byte."""
    model = blank(PUBLISHED_3B, tmp_path)
    weights = {tiny_bunny.published(name): list(one.shape) for name, one in model.named_parameters()}
    order = [name for name in weights if "mm_projector" not in name and name != "lm_head.weight"]
    tower = [name for name in order if "vision_tower" in name]
    order = [name for name in order if name not in tower] + tower
    shards, room = [{}], 5 * 10**9
    for name in [*order, *(name for name in weights if "mm_projector" in name), "lm_head.weight"]:
        size = 2 * prod(weights[name])
        if size > room:
            shards.append({})
            room = 5 * 10**9
        shards[-1][name] = size
        room -= size
    assert [_size(shard, weights) for shard in shards] == [4990950824, 1373673760]
    places = {name: f"model-0000{n}-of-00002.safetensors" for n, shard in enumerate(shards, 1) for name in shard}
    index = {"metadata": {"total_size": sum(sum(shard.values()) for shard in shards)}, "weight_map": places}
    assert len(json.dumps(index, indent=2, sort_keys=True) + "\n") == 88677


def _size(shard, weights):
    """Bytes of a safetensors file in half precision: the header's length, the header, the weights."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(shard):
        header[name] = {"dtype": "F16", "shape": weights[name], "data_offsets": [offset, offset + shard[name]]}
        offset += shard[name]
    text = json.dumps(header, separators=(",", ":"))
    return 8 + -(-len(text) // 8) * 8 + offset


# --- what goes in


def test_pictures_are_made_square_with_grey_and_scaled_as_siglip_scales(tmp_path):
    """Grey of int(255 x 0.5), bicubic, and values from -1 to 1."""
    processor = generation.load_processor(tiny_bunny.bunny(tmp_path))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8))
    square = np.full((50, 50, 3), 127, dtype=np.uint8)
    square[10:40] = np.asarray(picture)
    wanted = np.asarray(Image.fromarray(square).resize((28, 28), Image.Resampling.BICUBIC)) / 127.5 - 1
    given = processor(images=[[picture]], text=["<image>"])["pixel_values"]
    assert given.shape == (1, 3, 28, 28)
    np.testing.assert_allclose(given[0].permute(1, 2, 0).numpy(), wanted, atol=1e-5)


def test_pictures_are_stretched_where_config_json_does_not_ask_for_padding(tmp_path):
    processor = generation.load_processor(tiny_bunny.bunny(tmp_path, image_aspect_ratio=None))
    picture = Image.linear_gradient("L").resize((50, 30)).convert("RGB")
    wanted = np.asarray(picture.resize((28, 28), Image.Resampling.BICUBIC)) / 127.5 - 1
    given = processor(images=[[picture]], text=["<image>"])["pixel_values"]
    np.testing.assert_allclose(given[0].permute(1, 2, 0).numpy(), wanted, atol=1e-5)


def test_pictures_of_version_1_1_have_the_largest_scale_and_no_more_tokens(tmp_path):
    processor = generation.load_processor(tiny_bunny.bunny(tmp_path, "bunny-llama", **S2))
    given = processor(images=[[Image.new("RGB", (50, 30))]], text=["<image>"])
    assert given["pixel_values"].shape == (1, 3, 84, 84)
    assert given["input_ids"].shape == (1, 1 + 4)


@pytest.mark.parametrize(("kind", "end"), [("bunny-phi", "<|endoftext|>"), ("bunny-llama", "<|end_of_text|>")])
def test_a_prompt_is_what_bunny_was_trained_with(tmp_path, kind, end):
    """Not what the language model's own template writes, which lies beside its tokenizer."""
    processor = generation.load_processor(tiny_bunny.bunny(tmp_path, kind))
    assert processor.tokenizer.chat_template
    asked = FAMILY.conversation(1, "What is it?", [("How many?", "two")])
    assert processor.apply_chat_template(asked, add_generation_prompt=True) == (
        f"{PREAMBLE}USER: <image>\nHow many? ASSISTANT: two{end}USER: <image>\nWhat is it? ASSISTANT:"
    )


@pytest.mark.parametrize("kind", ["bunny-phi", "bunny-llama"])
def test_tokens_are_those_of_the_stretches_between_pictures(tmp_path, kind):
    """Each stretch is split by itself; what begins a text (Llama 3 and Phi-3) stands before the first alone."""
    processor = generation.load_processor(tiny_bunny.bunny(tmp_path, kind))
    tokenizer = processor.tokenizer
    picture = Image.new("RGB", (30, 30))
    inputs = generation.prepare(processor, FAMILY, [[picture]], ["What?"], "cpu", torch.float32)
    chunks = [tokenizer(text).input_ids for text in f"{PREAMBLE}USER: <image>\nWhat? ASSISTANT:".split("<image>")]
    begun = kind in tiny_bunny.BEGINS
    image = [processor.image_token_id] * 4
    assert inputs["input_ids"].tolist() == [chunks[0] + image + chunks[1][begun:]]
    assert (chunks[1][0] == tokenizer.bos_token_id) == begun


def test_a_question_that_spells_an_image_or_an_end_is_text(tmp_path):
    processor = generation.load_processor(tiny_bunny.bunny(tmp_path))
    text = "Is <image> or <|endoftext|> in it?"
    inputs = generation.prepare(processor, FAMILY, [[Image.new("RGB", (30, 30))]], [text], "cpu", torch.float32)
    ids = inputs["input_ids"][0].tolist()
    assert (ids.count(processor.image_token_id), ids.count(processor.tokenizer.eos_token_id)) == (4, 0)
    assert text in processor.tokenizer.decode([one for one in ids if one != processor.image_token_id])


def test_a_prompt_and_pictures_that_do_not_fit_are_refused(tmp_path):
    processor = generation.load_processor(tiny_bunny.bunny(tmp_path))
    with pytest.raises(ValueError, match="a prompt has 2 times <image> for 1 pictures"):
        processor(images=[[Image.new("RGB", (30, 30))]], text=["<image><image>"])
    model = loaded(tmp_path)
    with pytest.raises(ValueError, match="there are 2 image tokens and 4 features of pictures"):
        model(input_ids=torch.full((1, 2), processor.image_token_id), pixel_values=noise(28)[None])


# --- what is read


def test_the_whole_tower_is_read_up_to_the_layer_that_is_used(tmp_path):
    """A checkpoint that was trained with its tower holds the last layer and the pooling head as well."""
    tiny_bunny.bunny(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    layer = f"{plain.TOWER}encoder.layers.1."
    surplus = {name.replace("layers.1.", "layers.2."): one.clone() for name, one in tensors.items() if layer in name}
    surplus[f"{plain.TOWER}head.probe"] = torch.zeros(1, 1, 32)
    save_file(tensors | surplus, tmp_path / "model.safetensors", metadata={"format": "pt"})
    snapshots.check(tmp_path, FAMILY)
    assert len(loaded(tmp_path).model.vision_tower.encoder.layers) == 2


def test_a_tower_that_is_not_built_here_is_one_sentence(tmp_path):
    config = tiny_bunny.config_of("bunny-phi", mm_vision_tower="EVA02_CLIP_L_336_psz14_s6B", vision_config=None)
    tiny_bunny.bunny(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"built: config\.json names the vision tower 'EVA02.*a Bunny with SigLIP\.$"):
        snapshots.check(tmp_path, FAMILY)


def test_a_projector_that_is_not_built_here_is_one_sentence(tmp_path):
    tiny_bunny.bunny(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(tiny_bunny.config_of("bunny-phi", mm_projector_type="ldp")))
    with pytest.raises(UserError, match=r"names the projector 'ldp'.*: choose another model\.$"):
        snapshots.check(tmp_path, FAMILY)


def test_scales_that_do_not_divide_into_what_the_tower_sees_are_one_sentence(tmp_path):
    tiny_bunny.bunny(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(tiny_bunny.config_of("bunny-phi", **S2 | {"s2_scales": "28,50"})))
    with pytest.raises(UserError, match=r"has the scales '28,50'.* pieces of 28 pixels.*: correct `s2_scales`\.$"):
        snapshots.check(tmp_path, FAMILY)


@pytest.mark.parametrize(("kind", "settings"), VARIANTS, ids=NAMES)
def test_a_snapshot_is_whole_and_a_checkpoint_of_it_answers_alike(tmp_path, kind, settings):
    """Of each language model; the code in the repository is neither needed nor run."""
    source = tiny_bunny.bunny(tmp_path / "source", kind, **settings)
    snapshots.check(source, FAMILY)
    folder = tiny.make_checkpoint(source, tmp_path / "checkpoint", FAMILY)
    inputs = tiny.inputs_of(folder, FAMILY)
    with torch.inference_mode():
        first, second = (one(**inputs).logits for one in (loaded(source), checkpoint.load(folder, FAMILY, "cpu")))
    assert torch.equal(first, second)
    assert not list(folder.glob("*.py"))


def test_beams_keep_each_prompts_pictures_together_and_in_their_order(tmp_path):
    """Beams repeat a prompt: its pictures are repeated as a whole, not one by one."""
    model = loaded(tiny_bunny.bunny(tmp_path))
    processor = generation.load_processor(tmp_path)
    pictures = [Image.linear_gradient("L").rotate(80 * k).resize((40, 30)).convert("RGB") for k in range(4)]
    examples = [generation.Example(picture, "What?", "This.") for picture in pictures[:2]]
    shown, texts = [[picture] for picture in pictures[2:]], ["Hm?", "Hm!"]
    inputs = generation.prepare(processor, FAMILY, shown, texts, "cpu", torch.float32, examples)
    read = []
    hook = lambda _, __, given: read.append(given["inputs_embeds"])  # noqa: E731
    model.model.language_model.register_forward_pre_hook(hook, with_kwargs=True)
    model(**inputs)
    generation.answer(model, processor, inputs, generation.decoding(model, processor, 2, num_beams=3))
    torch.testing.assert_close(read[1], read[0].repeat_interleave(3, dim=0))
    features = model.get_image_features(inputs["pixel_values"]).pooler_output
    places = inputs["input_ids"] == processor.image_token_id
    for row, own in enumerate((features[:3], features[3:])):
        torch.testing.assert_close(read[0][row][places[row]], torch.cat(own))
