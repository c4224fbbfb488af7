"""Model families, held against tiny models built from the real configuration classes."""

import subprocess
import sys
from pathlib import Path

import pytest
import tiny_bunny

from bitbudget import registry
from bitbudget.errors import UserError
from bitbudget.models import groups
from bitbudget.models.families import chat, parts

SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"
BUNNIES = [*registry.module_of("family", "bunny").MODEL_TYPES]
MODEL_TYPES = ["llava", "qwen2_vl", "qwen2_5_vl", "idefics3", "smolvlm", *BUNNIES]
FAMILY = {
    "llava": "llava",
    "qwen2_vl": "qwen2-vl",
    "qwen2_5_vl": "qwen2-vl",
    "idefics3": "idefics3",
    "smolvlm": "idefics3",
    **dict.fromkeys(BUNNIES, "bunny"),
}
READERS = {
    "llama": "llama", "mistral": "llama", "qwen2": "llama", "qwen3": "llama", "smollm3": "llama", "olmo2": "llama",
    "granite": "llama", "gemma": "llama", "gemma2": "llama", "phi3": "llama", "gpt_neox": "gpt-neox", "opt": "opt",
}  # fmt: skip
TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
TOWER = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


def config_of(model_type, tied=False):
    """A tiny configuration of the real class."""
    import transformers as t

    common = {"tie_word_embeddings": tied}
    if model_type in BUNNIES:
        return t.AutoConfig.for_model(**tiny_bunny.config_of(model_type, **common))
    if model_type == "llava":
        return t.LlavaConfig(vision_config=t.CLIPVisionConfig(**TOWER), text_config=t.LlamaConfig(**TEXT), **common)
    if model_type in ("idefics3", "smolvlm"):
        config = t.Idefics3Config if model_type == "idefics3" else t.SmolVLMConfig
        text = t.LlamaConfig(**TEXT, **common)
        return config(vision_config=TOWER, text_config=text, pad_token_id=0, scale_factor=2, **common)
    rope = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1e6}
    text = TEXT | {"rope_parameters": rope}
    if model_type == "qwen2_vl":
        tower = {"depth": 2, "embed_dim": 64, "hidden_size": 64, "num_heads": 2, "patch_size": 8}
        return t.Qwen2VLConfig(vision_config=tower, text_config=text, **common)
    tower = {"depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 2, "out_hidden_size": 64}
    return t.Qwen2_5_VLConfig(vision_config=tower | {"patch_size": 8}, text_config=text, **common)


def text_config_of(model_type):
    """The same of a model of text alone, its head not tied."""
    import transformers as t

    special = {"opt": {"ffn_dim": 128, "word_embed_proj_dim": 32}, "qwen3": {"head_dim": 32}}
    return t.AutoConfig.for_model(model_type, **TEXT | special.get(model_type, {}), tie_word_embeddings=False)


def build(model_type, tied=False, device="meta"):
    import torch

    family = registry.module_of("family", (FAMILY | READERS)[model_type])
    kind = family.model_class()
    config = config_of(model_type, tied) if model_type in FAMILY else text_config_of(model_type)
    with torch.device(device):
        return family, kind.from_config(config).eval()


@pytest.fixture(scope="module", params=MODEL_TYPES)
def tiny(request):
    return build(request.param)


def test_the_class_takes_the_model_types(tiny):
    family, model = tiny
    assert model.config.model_type in family.MODEL_TYPES
    assert type(model).__name__.endswith("ForConditionalGeneration")


def test_every_parameter_has_one_group_and_every_group_a_parameter(tiny):
    family, model = tiny
    divided = parts.groups(family, model)
    found = {groups.group_of(name, divided) for name, _ in model.named_parameters()}
    assert found == set(divided) == set(family.GROUPS) - set(groups.RARE)


def test_linear_layers_are_where_they_belong(tiny):
    """Of the decoder, only norms stay in `language` itself; a tower's matrices are `vision`, a merger's `projector`."""
    import torch

    family, model = tiny
    divided = parts.groups(family, model)
    decoder, tower, projector = (divided[name][0] for name in ("language", "vision", "projector"))
    seen = set()
    for path, module in model.named_modules():
        if not isinstance(module, torch.nn.Linear):
            continue
        group = groups.group_of(path, divided)
        seen.add(group)
        if path.startswith(f"{decoder}.layers."):
            assert group in ("language.attention", "language.mlp"), path
        elif path.startswith(f"{projector}."):
            assert group == "projector", path
        elif path.startswith(f"{tower}."):
            assert group == "vision", path
        else:
            assert (path, group) == ("lm_head", "head")
    assert seen == {"vision", "projector", "language.attention", "language.mlp", "head"}


def test_groups_reach_what_the_model_itself_calls_its_parts(tiny):
    divided = parts.groups(*tiny)
    model = tiny[1]
    assert groups.group_of(path_of(model, model.get_output_embeddings()), divided) == "head"
    assert groups.group_of(path_of(model, model.get_input_embeddings()), divided) == "embeddings"


@pytest.fixture(scope="module", params=READERS)
def reader(request):
    return build(request.param)


def test_text_models_are_divided_into_groups_without_vision(reader):
    """Of the decoder, norms stay in `language` itself, and where embeddings are narrower what fits them."""
    import torch

    family, model = reader
    assert model.config.model_type in family.MODEL_TYPES
    assert type(model).__name__.endswith("ForCausalLM")
    divided = parts.groups(family, model)
    assert {groups.group_of(name, divided) for name, _ in model.named_parameters()} == set(divided)
    assert divided.keys() == {"embeddings", "language", "language.attention", "language.mlp", "head"}
    assert (parts.vision_modules(family, model), family.TRACKS) == ((), ("lambada",))
    for path, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            layer = ".layers." in path
            wanted = {"language.attention", "language.mlp"} if layer else {"head", "language"}
            assert groups.group_of(path, divided) in wanted, path
            assert layer or path == "lm_head" or path.startswith("model.decoder.project_"), path
            if layer:
                mlp = ".mlp." in path or path.endswith((".fc1", ".fc2"))
                assert (groups.group_of(path, divided) == "language.mlp") == mlp, path
    assert groups.group_of(path_of(model, model.get_output_embeddings()), divided) == "head"
    assert groups.group_of(path_of(model, model.get_input_embeddings()), divided) == "embeddings"


def test_every_model_type_is_held_against_a_model():
    """Detectors are in test_detection_export.py, Phi-3-vision is in test_phi3_v.py."""
    families = [registry.module_of("family", name) for name in registry.FAMILIES]
    listed = {kind for family in families for kind in family.MODEL_TYPES if "detection" not in family.TRACKS}
    elsewhere = {"phi3_v"}
    assert listed - elsewhere == set(MODEL_TYPES) | set(READERS)


# --- detectors


DETECTORS = {"yolos": "yolos", "detr": "detr", "rt-detr": "rt_detr"}
COCO_91 = {0: "N/A"} | dict.fromkeys(range(2, 90), "thing") | {1: "person", 90: "toothbrush"}
COCO_80 = {0: "person"} | dict.fromkeys(range(1, 79), "thing") | {79: "toothbrush"}


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_are_classes_that_transformers_has(name):
    """A module that is to be made constant must still be called so, or its values would change with the picture."""
    import importlib

    family, kind = registry.module_of("family", name), DETECTORS[name]
    module = importlib.import_module(f"transformers.models.{kind}.modeling_{kind}")
    assert family.FROZEN
    assert all(hasattr(module, one) for one in family.FROZEN)
    assert (kind,) == family.MODEL_TYPES
    assert family.model_class().__name__ == "AutoModelForObjectDetection"


def specification(name, processor, labels=None, **config):
    """What a family makes of a model's files."""
    family = registry.module_of("family", name)
    return family.detector({"patch_size": 16, "id2label": labels or {0: "cat"}} | config, processor)


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("yolos", {"shortest_edge": 512, "longest_edge": 1333}, [592, 592]),  # 4:3 would be 683 x 512
        ("yolos", {"shortest_edge": 512, "longest_edge": 600}, [512, 512]),  # and here 600 x 450
        ("yolos", {"height": 96, "width": 128}, [96, 128]),
        ("detr", {"shortest_edge": 800, "longest_edge": 1333}, [928, 928]),  # 1067 x 800
        ("detr", 800, [928, 928]),
        ("rt-detr", {"height": 640, "width": 640}, [640, 640]),
    ],
)
def test_the_input_has_as_many_pixels_as_the_processor_gives_a_usual_picture(name, size, expected):
    given = specification(name, {"size": size, "max_size": 1333} if isinstance(size, int) else {"size": size})["input"]
    assert given["size"] == expected
    assert given["resize"] == "stretch"
    multiple = 16 if name == "yolos" else 32
    assert all(side % multiple == 0 for side in expected)


def test_pixels_are_normalised_as_the_processor_says():
    """In units of pixels from 0 to 255, unlike the processor's own."""
    size = {"size": {"height": 64, "width": 64}}
    imagenet = specification("detr", size)["input"]
    assert imagenet["mean"] == [123.675, 116.28, 103.53]
    assert imagenet["std"] == [58.395, 57.12, 57.375]
    half = specification("yolos", size | {"image_mean": [0.5] * 3, "image_std": [0.25] * 3})["input"]
    assert (half["mean"], half["std"]) == ([127.5] * 3, [63.75] * 3)
    raw = specification("yolos", size | {"do_normalize": False, "do_rescale": False})["input"]
    assert (raw["mean"], raw["std"]) == ([0.0] * 3, [1.0] * 3)
    assert specification("rt-detr", size)["input"]["std"] == [255.0] * 3
    assert specification("rt-detr", size | {"do_normalize": True})["input"]["mean"] == imagenet["mean"]


def test_labels_are_cocos_where_they_look_like_it():
    size = {"size": {"height": 64, "width": 64}}
    of_91 = specification("detr", size, COCO_91)["classes"]
    assert (of_91["ids"], of_91["names"][1], len(of_91["names"])) == ("identity", "person", 91)
    of_80 = specification("rt-detr", size, {str(k): v for k, v in COCO_80.items()})["classes"]
    assert (of_80["ids"], of_80["names"][0], len(of_80["names"])) == ("coco-80", "person", 80)
    own = {1: "dog", 0: "cat"}
    assert specification("yolos", size, own)["classes"] == {"ids": "names", "names": ["cat", "dog"]}
    shuffled = COCO_80 | {0: "toothbrush", 79: "person"}
    assert specification("rt-detr", size, shuffled)["classes"]["ids"] == "names"


def test_a_model_that_does_not_say_its_input_size_is_refused():
    with pytest.raises(UserError, match=r"does not say how large its input is: set `detector\.input\.size`"):
        specification("detr", {})


def test_a_pythia_whose_head_has_its_old_name_is_read_whole(tmp_path):
    """Snapshots on the Hub call it `embed_out`."""
    import tiny_models as tiny
    import torch
    from safetensors.torch import load_file, save_file

    from bitbudget.models import checkpoint

    original = checkpoint.load_original(tiny.gpt_neox(tmp_path), tiny.NEOX, "float32")
    tensors = load_file(tmp_path / "model.safetensors")
    head = tensors.pop("embed_out.weight", None)
    head = tensors.pop("lm_head.weight") if head is None else head
    save_file(tensors | {"embed_out.weight": head}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    again = checkpoint.load_original(tmp_path, tiny.NEOX, "float32")
    assert torch.equal(again.lm_head.weight, original.lm_head.weight)


def path_of(model, wanted):
    return next(path for path, module in model.named_modules() if module is wanted)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_vision_modules_are_the_vision_encoding(model_type):
    """Encoding an image calls each of them once, and calls nothing outside them."""
    import torch

    family, model = build(model_type, device="cpu")
    calls = []
    for path, module in model.named_modules():
        if path not in ("", "model"):
            module.register_forward_hook(lambda *_, path=path: calls.append(path))
    with torch.no_grad():
        if model_type.startswith("qwen"):
            pixels = torch.rand(16, 3 * 2 * 8 * 8)  # 4 x 4 patches of 8 x 8 pixels in two frames
            model.get_image_features(pixels, image_grid_thw=torch.tensor([[1, 4, 4]]))
        elif model_type in ("llava", *BUNNIES):
            side = model.config.vision_config.image_size
            model.get_image_features(torch.rand(1, 3, side, side))
        else:
            model.get_image_features(torch.rand(1, 1, 3, 32, 32))
    seeing = parts.vision_modules(family, model)
    assert [calls.count(path) for path in seeing] == [1] * len(seeing)
    assert all(any(c == m or c.startswith(f"{m}.") for m in seeing) for c in calls)


def test_conversation():
    assert chat.conversation(2, "Compare.", shots=[("Describe.", "A cat.")]) == [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe."}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]},
        {"role": "user", "content": [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "Compare."}]},
    ]
    with pytest.raises(ValueError, match="-1 images"):
        chat.conversation(-1, "Describe.")


def test_conversation_goes_through_a_chat_template():
    from demo_recipes.vlm import build_processor

    family = registry.module_of("family", "llava")
    messages = family.conversation(1, "Describe the image.", shots=[("What is it?", "a cat")])
    text = build_processor().apply_chat_template(messages, add_generation_prompt=True)
    assert text == "<s>USER: <image>What is it? ASSISTANT: a cat</s>USER: <image>Describe the image. ASSISTANT:"


def test_metadata_needs_no_heavy_library():
    """The workflow reads the families while it is parsed, where nothing but snakemake is installed."""
    code = (
        "import sys\n"
        "from bitbudget import registry\n"
        "from bitbudget.models import groups\n"
        "for name in registry.FAMILIES:\n"
        "    family = registry.module_of('family', name)\n"
        "    assert family.TRACKS\n"
        "    group = 'detector' if 'detection' in family.TRACKS else 'language'\n"
        "    assert groups.resolve({group: 'a format'}, family.GROUPS, 'float16')\n"
        "heavy = {'torch', 'transformers', 'numpy', 'PIL', 'huggingface_hub'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(SCRIPTS)})
