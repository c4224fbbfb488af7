"""Phi-3.5-vision, built from transformers' modules, held to the published description in plain torch."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager

import published_phi3_v as published
import pytest
import tiny_models as tiny
import tiny_phi3_v
import torch
from PIL import Image

from bitbudget import files
from bitbudget.errors import UserError
from bitbudget.models import checkpoint, groups, readers, snapshots
from bitbudget.models.asking import image_tokens
from bitbudget.models.families import parts
from bitbudget.models.native.phi3_v.processor import CropProcessor
from bitbudget.runtimes.transformers import generation

PHI3_V = tiny.PHI3_V
SIZES = [(640, 480), (480, 640), (336, 336), (1000, 90), (77, 1300), (30, 31), (2000, 1499)]
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def picture(width, height, seed=0):
    """Noise upon a gradient, so that no crop and no line is like another."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 256, (height // 8 + 1, width // 8 + 1, 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(noise.numpy()).resize((width, height))


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    return tiny_phi3_v.write(tmp_path_factory.mktemp("phi3_v"))


@pytest.fixture(scope="module")
def model(snapshot):
    return checkpoint.load_original(snapshot, PHI3_V, "float32")


@pytest.fixture(scope="module")
def weights():
    return tiny_phi3_v.weights(tiny_phi3_v.CONFIG)


@contextmanager
def outputs_of(modules):
    """What these modules give while this is open, in the order in which they are done."""
    found = []
    hooks = [one.register_forward_hook(lambda module, given, out: found.append(out)) for one in modules]
    yield found
    for hook in hooks:
        hook.remove()


# --- pictures


@pytest.mark.parametrize("num_crops", [1, 4, 16])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pictures_are_cut_as_published(size, num_crops):
    image, processor = picture(*size), CropProcessor(num_crops)
    wanted, rows, columns = published.crops(image, num_crops)
    assert processor.grid(*size) == (rows, columns)
    torch.testing.assert_close(processor.cut(image), wanted, rtol=1e-5, atol=1e-5)
    assert processor.image_tokens(*size) == (rows * columns + 1) * 144 + 1 + (rows + 1) * 12


@pytest.mark.parametrize(("num_crops", "tokens"), [(4, 757), (16, 1921)])
def test_a_photograph_has_as_many_tokens_as_elsewhere(num_crops, tokens):
    """The numbers of vLLM's test of its processor for Phi-3.5-vision, for a photograph of about three to two."""
    assert CropProcessor(num_crops).image_tokens(1300, 876) == tokens


def test_a_study_bounds_the_crops(tmp_path):
    """Two crops are 457 tokens, or 469 where they lie one below the other; one is 313."""
    folder = tiny_phi3_v.write(tmp_path, num_crops=4)
    for most, crops in ((None, 4), (500, 2), (400, 1), (100, 1)):
        processor = readers.load_processor(folder)
        done = image_tokens.bound(processor, readers.load_configuration(folder), PHI3_V, 1024, most, False)
        assert processor.image_processor.num_crops == crops
        assert ("needs 313 tokens" in done.get("remark", "")) == (most == 100)
    processor = readers.load_processor(folder)
    image_tokens.bound(processor, readers.load_configuration(folder), PHI3_V, 1024, None, False)
    for size, grid in (((336, 200), (1, 1)), ((500, 200), (1, 2)), ((640, 480), (2, 2)), ((200, 900), (3, 1))):
        assert processor.image_processor.grid(*size) == grid  # no more than the picture fits into


def test_a_picture_that_is_too_thin_is_refused_beforehand():
    assert PHI3_V.image_refusal(336, 1) is None
    assert "400 to 1" in PHI3_V.image_refusal(1, 400)
    with pytest.raises(ValueError, match="too thin"):
        CropProcessor(1).cut(Image.new("RGB", (400, 1)))
    with pytest.raises(ValueError, match="one crop at least"):
        CropProcessor(0)


@pytest.mark.parametrize("num_crops", [1, 4, 16])
def test_every_layer_of_the_tower_and_the_embeddings_are_as_published(model, weights, num_crops):
    images = [picture(640, 480), picture(300, 800, 1), picture(336, 336, 2)][: 3 if num_crops == 4 else 1]
    vision = model.model.vision_embed_tokens
    layers = vision.img_processor["vision_model"].encoder.layers
    with outputs_of([vision.img_processor["vision_model"].pre_layrnorm, *layers]) as seen, torch.inference_mode():
        found = model.get_image_features(**CropProcessor(num_crops)(images))
    pixels = torch.cat([published.crops(image, num_crops)[0] for image in images])
    wanted = published.tower(weights, tiny_phi3_v.CONFIG, pixels)
    for one, other in zip(seen, wanted, strict=True):
        torch.testing.assert_close(one, other, **CLOSE)
    for one, image in zip(found, images, strict=True):
        torch.testing.assert_close(one, published.picture(weights, tiny_phi3_v.CONFIG, image, num_crops), **CLOSE)


def test_the_whole_picture_comes_first_where_the_file_says_so(tmp_path, weights):
    config = tiny_phi3_v.CONFIG | {
        "embd_layer": tiny_phi3_v.CONFIG["embd_layer"] | {"hd_transform_order": "glb_sub"},
        "img_processor": tiny_phi3_v.CONFIG["img_processor"] | {"layer_idx": 1},
    }
    model = checkpoint.load_original(tiny_phi3_v.write(tmp_path, **config), PHI3_V, "float32")
    with torch.inference_mode():
        (found,) = model.get_image_features(**CropProcessor(1)([picture(640, 480)]))
    torch.testing.assert_close(found, published.picture(weights, config, picture(640, 480), 1), **CLOSE)


# --- prompts


def test_prompts_have_the_published_form(snapshot):
    processor = readers.load_processor(snapshot)
    asked = PHI3_V.conversation(2, "What is this?", [("And that?", "a cat")])
    assert processor.apply_chat_template(asked, add_generation_prompt=True) == (
        "<|user|>\n<|image_1|>\nAnd that?<|end|>\n<|assistant|>\na cat<|end|>\n"
        "<|user|>\n<|image_2|>\n<|image_3|>\nWhat is this?<|end|>\n<|assistant|>\n"
    )


@pytest.mark.parametrize("pictures", [0, 1, 3])
def test_a_prompt_is_read_as_published(snapshot, pictures):
    """Every piece of the prompt begins as a text does, and a picture's number stands for each of its tokens."""
    processor = readers.load_processor(snapshot)
    images = [picture(*size) for size in SIZES[:pictures]]
    inputs = generation.prepare(processor, PHI3_V, [images], ["the cat sat"], "cpu", torch.float32)
    prompt = "".join(f"<|image_{n}|>\n" for n in range(1, pictures + 1))
    counts = [processor.image_processor.image_tokens(*image.size) for image in images]
    wanted = published.tokens(processor.tokenizer, f"<|user|>\n{prompt}the cat sat<|end|>\n<|assistant|>\n", counts)
    assert [number if number != 32044 else -1 for number in inputs["input_ids"][0].tolist()] == [
        max(number, -1) for number in wanted
    ]
    assert wanted.count(1) == pictures + 1
    assert ("pixel_values" in inputs) == bool(pictures)


def test_text_that_spells_a_picture_stays_text(snapshot):
    processor = readers.load_processor(snapshot)
    text = "the <|image_1|> cat <|image|> and <|end|>"
    inputs = generation.prepare(processor, PHI3_V, [[picture(50, 40)]], [text], "cpu", torch.float32)
    ids = inputs["input_ids"][0]
    assert int((ids == 32044).sum()) == processor.image_processor.image_tokens(50, 40)
    assert int((ids == 32007).sum()) == 1  # the template's own
    assert "<|image_1|> cat <|image|> and <|end|>" in processor.tokenizer.decode(ids[ids != 32044])


def test_a_prompt_and_its_pictures_agree_or_are_refused(snapshot):
    processor = readers.load_processor(snapshot)
    for text in ("<|image_1|> and <|image_2|>", "none", "<|image_2|>"):
        with pytest.raises(ValueError, match="pictures"):
            processor(images=[[picture(50, 40)]], text=[text])


# --- the decoder


def inputs_of(snapshot, images, texts):
    return generation.prepare(readers.load_processor(snapshot), PHI3_V, images, texts, "cpu", torch.float32)


def published_logits(snapshot, weights, images, text, **settings):
    """What the description gives for one prompt: the layers' outputs, and logits."""
    config, processor = tiny_phi3_v.CONFIG | settings, readers.load_processor(snapshot)
    found = [published.picture(weights, config, image, processor.image_processor.num_crops) for image in images]
    prompt = "".join(f"<|image_{n}|>\n" for n in range(1, len(images) + 1))
    ids = published.tokens(
        processor.tokenizer, f"<|user|>\n{prompt}{text}<|end|>\n<|assistant|>\n", [len(one) for one in found]
    )
    return published.decoder(weights, config, published.embeddings(weights, ids, found))


@pytest.mark.parametrize("pictures", [0, 1, 2])
def test_every_layer_of_the_decoder_is_as_published(snapshot, model, weights, pictures):
    images = [picture(*size) for size in SIZES[:pictures]]
    inputs = inputs_of(snapshot, [images], ["the cat sat on the mat"])
    with outputs_of(model.model.layers) as seen, torch.inference_mode():
        logits = model(**inputs).logits
    wanted = published_logits(snapshot, weights, images, "the cat sat on the mat")
    for one, other in zip([*seen, logits], wanted, strict=True):
        torch.testing.assert_close(one[0], other, rtol=1e-3, atol=1e-3)


def test_long_prompts_are_turned_by_other_frequencies(tmp_path, weights):
    """350 positions, where the frequencies of short texts hold for 300."""
    folder = tiny_phi3_v.write(tmp_path, original_max_position_embeddings=300)
    model = checkpoint.load_original(folder, PHI3_V, "float32")
    images, texts = [[picture(640, 480)], []], ["the cat sat on the mat " * 4, "the dog"]
    inputs = inputs_of(folder, images, texts)
    with torch.inference_mode():
        found = model(**inputs).logits
    for row in range(2):
        settings = {"original_max_position_embeddings": 300}
        wanted = published_logits(folder, weights, images[row], texts[row], **settings)[-1]
        torch.testing.assert_close(found[row, -len(wanted) :], wanted, rtol=1e-3, atol=1e-3)


def written(model, processor, inputs, tokens=8, beams=1):
    how = generation.decoding(model, processor, tokens, tokens, beams)
    return [one.text for one in generation.answer(model, processor, inputs, how)]


def test_answers_of_a_batch_are_those_of_single_prompts(snapshot, model):
    """Padded on the left, with no picture, one and three; by beams, too, which share their pictures."""
    processor = readers.load_processor(snapshot)
    images = [[], [picture(640, 480)], [picture(*size) for size in SIZES[:3]]]
    texts = ["the cat", "what was in the house and on the mat?", "he went home"]
    for beams in (1, 2):
        single = [
            written(model, processor, inputs_of(snapshot, [shown], [text]), beams=beams)[0]
            for shown, text in zip(images, texts, strict=True)
        ]
        assert written(model, processor, inputs_of(snapshot, images, texts), beams=beams) == single
        assert len(set(single)) == 3


def test_an_answer_that_outgrows_short_texts_is_as_if_read_anew_for_every_token(tmp_path):
    """The first row does, after its third token; the second stays short, beside it as alone."""
    folder = tiny_phi3_v.write(tmp_path, original_max_position_embeddings=329)
    model, processor = checkpoint.load_original(folder, PHI3_V, "float32"), readers.load_processor(folder)
    images, texts = [[picture(640, 480)], []], ["the cat sat on the mat", "the dog was in"]
    inputs = inputs_of(folder, images, texts)
    length = int(inputs["attention_mask"][0].sum())
    assert length == 326
    assert (inputs["attention_mask"].sum(-1)[1]) < 100
    how = generation.decoding(model, processor, 8, 8)
    with torch.inference_mode():
        found = model.generate(**inputs, generation_config=how)
        for row in range(2):
            one = inputs_of(folder, [images[row]], [texts[row]])
            ids = one["input_ids"]
            for _ in range(8):  # without a cache
                given = {key: value for key, value in one.items() if key.startswith(("pixel", "image"))}
                logits = model(input_ids=ids, use_cache=False, **given).logits[:, -1]
                logits[:, how.eos_token_id] = -torch.inf
                ids = torch.cat([ids, logits.argmax(-1, keepdim=True)], 1)
            assert found[row, -8:].tolist() == ids[0, -8:].tolist()


# --- the files


def test_groups_are_the_parts_of_the_published_names(model):
    divided, found = parts.groups(PHI3_V, model), {}
    for name, _ in model.named_parameters():
        found.setdefault(groups.group_of(name, divided), set()).add(re.sub(r"\.\d+\.", ".*.", name))
    seen = "model.vision_embed_tokens"
    assert all(name.startswith(f"{seen}.img_processor.vision_model.") for name in found["vision"])
    assert found["projector"] == {
        f"{seen}.glb_GN", f"{seen}.sub_GN",
        *(f"{seen}.img_projection.*.{leaf}" for leaf in ("weight", "bias")),
    }  # fmt: skip
    assert found["embeddings"] == {"model.embed_tokens.weight"}
    assert found["language.attention"] == {f"model.layers.*.self_attn.{one}.weight" for one in ("qkv_proj", "o_proj")}
    assert found["language.mlp"] == {f"model.layers.*.mlp.{one}.weight" for one in ("gate_up_proj", "down_proj")}
    assert found["head"] == {"lm_head.weight"}
    assert set(found) == set(PHI3_V.GROUPS) - set(groups.RARE)
    assert parts.vision_modules(PHI3_V, model) == (seen,)


def test_the_published_files_are_a_whole_model_without_their_code(snapshot):
    snapshots.check(snapshot, PHI3_V)


def test_weights_and_settings_that_do_not_belong_together_are_refused(tmp_path):
    folder = tiny_phi3_v.write(tmp_path)
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(tiny_phi3_v.PICTURES | {"num_crops": 1, "num_img_tokens": 100}))
    with pytest.raises(UserError, match="image tokens for a picture"):
        snapshots.check(folder, PHI3_V)
    for key, value, said in (
        ("embd_layer", {"projection_cls": "linear"}, "projection_cls: linear"),
        ("img_processor", {"model_name": "google/siglip"}, "another vision tower"),
    ):
        (folder / "config.json").write_text(json.dumps(tiny_phi3_v.CONFIG | {key: value}))
        with pytest.raises(UserError, match=said):
            snapshots.check(folder, PHI3_V)


def test_the_tower_is_that_of_clip_where_config_json_does_not_describe_it(tmp_path):
    config = {key: value for key, value in tiny_phi3_v.CONFIG.items() if key != "vision_config"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    tower = readers.load_configuration(tmp_path).vision_config
    assert (tower.hidden_size, tower.num_hidden_layers, tower.image_size, tower.patch_size) == (1024, 24, 336, 14)


def test_the_published_sizes_are_the_published_number_of_parameters(tmp_path):
    """4.15 billion, by the Hub's page of the model."""
    config = {key: value for key, value in tiny_phi3_v.CONFIG.items() if key != "vision_config"}
    config |= {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32, "rope_scaling": None}
    config |= {"num_attention_heads": 32, "num_key_value_heads": 32}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with torch.device("meta"):
        model = PHI3_V.model_class().from_config(readers.load_configuration(tmp_path))
    assert sum(one.numel() for one in model.parameters()) / 1e9 == pytest.approx(4.15, abs=0.005)


def test_answers_end_with_the_tokenizers_end_too(snapshot, model):
    """config.json and generation_config.json name `</s>`, which the model never writes."""
    assert generation.decoding(model, readers.load_processor(snapshot), 4).eos_token_id == [2, 32000]


def test_the_checkpoint_is_read_as_the_snapshot_is(snapshot, tmp_path):
    folder = tiny.make_checkpoint(snapshot, tmp_path / "made", PHI3_V, language="rtn-4", vision="rtn-8")
    assert not list(folder.glob("*.py"))
    assert "auto_map" not in files.read_json(folder / "config.json")
    model, processor = checkpoint.load(folder, PHI3_V, "cpu"), readers.load_processor(folder)
    assert model.model.layers[0].self_attn.qkv_proj.__class__ is not torch.nn.Linear
    assert written(model, processor, inputs_of(folder, [[picture(640, 480)]], ["the cat"]))[0]
