"""Model folders that are damaged or do not fit together: one sentence that names the file; and those that are whole."""

import json
import pickle
import shutil

import pytest
import tiny_detectors
import tiny_models as tiny
import torch
from safetensors.torch import load_file, save_file

from bitbudget import registry
from bitbudget.errors import UserError
from bitbudget.models import snapshots
from bitbudget.models.snapshots import rendering

FAMILIES = {name: family for name, (_, family) in {**tiny.MAKERS, **tiny.TEXT_MAKERS}.items()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One whole snapshot of each family, to be copied."""
    folder = tmp_path_factory.mktemp("made")
    return {name: make(folder / name) for name, (make, _) in {**tiny.MAKERS, **tiny.TEXT_MAKERS}.items()}


@pytest.fixture
def copy(made, tmp_path):
    return lambda name: shutil.copytree(made[name], tmp_path / name)


def file(name, content):
    """A plant: this file holds this, or is missing."""

    def plant(folder):
        path = folder / name
        if content is None:
            path.unlink()
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content)

    return plant


def entry(name, *path, value=None, gone=False):
    """A plant: this entry of a JSON file has this value, or is gone."""

    def plant(folder):
        whole = json.loads((folder / name).read_text())
        inner = whole
        for key in path[:-1]:
            inner = inner[key]
        if gone:
            del inner[path[-1]]
        else:
            inner[path[-1]] = value
        (folder / name).write_text(json.dumps(whole))

    return plant


def weights(change):
    """A plant: the tensors after `change` of their dictionary."""

    def plant(folder):
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return plant


def all_of(*plants):
    return lambda folder: [plant(folder) for plant in plants]


def template(text):
    return file("chat_template.jinja", text)


def pickled(content):
    def plant(folder):
        (folder / "model.safetensors").unlink()
        torch.save(content, folder / "pytorch_model.bin")

    return plant


class Code:
    def __reduce__(self):
        return (print, ("this must never run",))


def poisoned(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"w": Code()}))


Q = "language_model.model.layers.1.self_attn.q_proj.weight"
NORM = "language_model.model.norm.weight"
EMBEDDED = "language_model.model.embed_tokens.weight"

# what is planted, in which model, and what the sentence must say
PLANTS = {
    "config null": ("llava", file("config.json", "null"), r"config\.json holds null where a JSON object"),
    "config list": ("llava", file("config.json", "[]"), r"config\.json holds a list"),
    "config number": ("llava", file("config.json", "7"), r"config\.json holds a number"),
    "config cut": ("llava", file("config.json", '{"a": '), r"config\.json is not valid JSON"),
    "config binary": ("llava", file("config.json", b"\xff\xfe\x00"), r"config\.json is not valid JSON"),
    "config deep": ("llava", file("config.json", "[" * 100_000), r"config\.json is not valid JSON"),
    "config long number": (
        "llava",
        file("config.json", '{"a": ' + "9" * 5000 + "}"),
        r"config\.json is not valid JSON",
    ),
    "config word for number": (
        "llava",
        entry("config.json", "text_config", "num_hidden_layers", value="two"),
        r"config\.json",
    ),
    "config negative": ("llava", entry("config.json", "text_config", "hidden_size", value=-64), "hidden_size|config"),
    "config null part": ("llava", entry("config.json", "text_config", value=7), r"config\.json"),
    "already quantized": (
        "llava",
        entry("config.json", "quantization_config", value={"quant_method": "gptq", "bits": 4}),
        r"config\.json has a quantization_config, so the model is quantized already",
    ),
    "layer fewer": (
        "llava",
        entry("config.json", "text_config", "num_hidden_layers", value=1),
        r"holds 9 weights of parts that its config\.json leaves out \(model\.language_model\.layers\.1\.",
    ),
    "layer fewer in the tower": (
        "llava",
        entry("config.json", "vision_config", "num_hidden_layers", value=1),
        "of parts that its config",
    ),
    "layer fewer, text": ("llama", entry("config.json", "num_hidden_layers", value=1), "of parts that its config"),
    "layer fewer, neox": ("gpt-neox", entry("config.json", "num_hidden_layers", value=1), "of parts that its config"),
    "layer fewer, opt": ("opt", entry("config.json", "num_hidden_layers", value=1), "of parts that its config"),
    "layer fewer, qwen": (
        "qwen2-vl",
        entry("config.json", "vision_config", "depth", value=1),
        "of parts that its config",
    ),
    "layer fewer, idefics": (
        "idefics3",
        entry("config.json", "text_config", "num_hidden_layers", value=1),
        "of parts that its config",
    ),
    "layer more": (
        "llava",
        entry("config.json", "text_config", "num_hidden_layers", value=3),
        r"lacks 9 weights of the model that its config\.json describes \(model\.language_model\.layers\.2\.",
    ),
    "wider": (
        "llava",
        entry("config.json", "text_config", "intermediate_size", value=256),
        r"holds 6 weights of another shape .*: 64 x 128, not 64 x 256",
    ),
    "bias left out": (
        "llava",
        weights(lambda t: t.update({Q.replace("weight", "bias"): torch.ones(64)})),
        r"holds 1 weight of parts that its config\.json leaves out \(model\.language_model\.layers\.1\..*bias\)",
    ),
    "adapter": (
        "llava",
        weights(lambda t: t.update({Q.replace("weight", "lora_A.default.weight"): torch.ones(4, 64)})),
        "of parts that its config",
    ),
    "scales": (
        "llava",
        weights(lambda t: t.update({Q.replace("weight", "weight_scale"): torch.ones(64)})),
        "of parts that its config",
    ),
    "weight missing": ("llava", weights(lambda t: t.pop(Q)), r"lacks 1 weight of the model .*q_proj\.weight\)"),
    "weight of another shape": ("llava", weights(lambda t: t.update({Q: t[Q][:10].clone()})), "10 x 64, not 64 x 64"),
    "NaN": (
        "llava",
        weights(lambda t: t[NORM].fill_(float("nan"))),
        r"safetensors holds values in .*norm\.weight that are",
    ),
    "one infinity": ("llava", weights(lambda t: t[Q][3].fill_(float("inf"))), "not finite"),
    "integers": ("llava", weights(lambda t: t.update({Q: t[Q].to(torch.int8)})), "as int8, so the model is quantized"),
    "float8": (
        "llava",
        weights(lambda t: t.update({Q: t[Q].to(torch.float8_e4m3fn)})),
        "as float8_e4m3fn, so the model",
    ),
    "another head under tied embeddings": (
        "llama",
        all_of(entry("config.json", "tie_word_embeddings", value=True)),
        "ties the head to the embeddings",
    ),
    "weights under another name": (
        "llava",
        lambda f: (f / "model.safetensors").rename(f / "mine.safetensors"),
        "cannot build a model",
    ),
    "generation with a byte order mark": (
        "llava",
        lambda f: _with_mark(f / "generation_config.json"),
        r"generation_config\.json is not valid JSON",
    ),
    "pickled code": (
        "llava",
        poisoned,
        r"pytorch_model\.bin (holds Python objects that could run code|cannot be read)",
    ),
    "pickled object": ("llava", pickled({"w": Code()}), r"pytorch_model\.bin holds Python objects that could run code"),
    "pickle cut": (
        "llava",
        all_of(pickled({"w": torch.ones(3)}), file("pytorch_model.bin", b"PK\3\4abc")),
        "pytorch_model",
    ),
    "tokenizer {}": ("llava", file("tokenizer.json", "{}"), r"tokenizer\.json is no tokenizer"),
    "tokenizer {}, text": ("llama", file("tokenizer.json", "{}"), r"tokenizer\.json is no tokenizer"),
    "longest text no number": (
        "qwen2-vl",
        entry("tokenizer_config.json", "model_max_length", value={}),
        r"tokenizer from .*tokenizer_config\.json.* cannot split a text",
    ),
    "tokenizer null": ("qwen2-vl", file("tokenizer.json", "null"), r"tokenizer\.json holds null"),
    "tokenizer gone": (
        "llava",
        file("tokenizer.json", None),
        r"cannot make the processor from .*tokenizer_config\.json",
    ),
    "tokenizer gone, text": ("llama", file("tokenizer.json", None), r"has neither a tokenizer\.json nor a vocab\.json"),
    "vocabulary of opt cut": ("opt", file("vocab.json", '{"<s>": 0'), r"vocab\.json is not valid JSON"),
    "merges of opt broken": ("opt", file("merges.txt", "a b c d\n"), "."),
    "vocabulary too large": (
        "llama",
        lambda f: _larger_vocabulary(f / "tokenizer.json"),
        r"has tokens that the model does not \(number \d+, 'extra\d+', where the model has \d+\)",
    ),
    "no padding and no end": (
        "llava",
        all_of(
            entry("tokenizer_config.json", "pad_token", gone=True),
            entry("tokenizer_config.json", "eos_token", gone=True),
        ),
        "neither a pad_token nor an eos_token",
    ),
    "code for the processor": (
        "qwen2-vl",
        all_of(
            entry("preprocessor_config.json", "auto_map", value={"AutoImageProcessor": "mine.Mine"}),
            entry("preprocessor_config.json", "image_processor_type", value="Mine"),
        ),
        "cannot make the processor",
    ),
    "unknown image processor": (
        "qwen2-vl",
        entry("preprocessor_config.json", "image_processor_type", value="NoSuchProcessor"),
        r"cannot make the processor from .*preprocessor_config\.json",
    ),
    "preprocessor cut": (
        "qwen2-vl",
        file("preprocessor_config.json", '{"a'),
        r"preprocessor_config\.json is not valid",
    ),
    "preprocessor null": (
        "idefics3",
        file("preprocessor_config.json", "null"),
        r"preprocessor_config\.json holds null",
    ),
    "preprocessor gone": ("qwen2-vl", file("preprocessor_config.json", None), "cannot make the processor"),
    "preprocessor nonsense": (
        "qwen2-vl",
        entry("preprocessor_config.json", "patch_size", value="large"),
        r"preprocessor_config\.json",
    ),
    "processor without patch size": (
        "llava",
        entry("processor_config.json", "patch_size", gone=True),
        r"processor_config\.json",
    ),
    "processor of another patch size": (
        "llava",
        entry("processor_config.json", "patch_size", value=8),
        "writes 16 image tokens for a picture, and the model makes 4",
    ),
    "pictures of another size": (
        "llava",
        entry("processor_config.json", "image_processor", "size", value={"height": 64, "width": 64}),
        "vision tower in .* cannot take a picture|image tokens for a picture",
    ),
    "patches of another size, qwen": (
        "qwen2-vl",
        entry("preprocessor_config.json", "patch_size", value=16),
        "cannot take a picture as preprocessor",
    ),
    "patches merged otherwise, qwen": (
        "qwen2-vl",
        entry("preprocessor_config.json", "merge_size", value=1),
        "image tokens for a picture|cannot take a picture as preprocessor",
    ),
    "another number of image tokens, idefics": (
        "idefics3",
        entry("processor_config.json", "image_seq_len", value=9),
        "writes 9 image tokens for a picture, and the model makes 4",
    ),
    "tiles of another size, idefics": (
        "idefics3",
        entry("preprocessor_config.json", "max_image_size", value={"longest_edge": 48}),
        "image tokens for a picture|cannot take a picture as preprocessor",
    ),
    "another image token": (
        "llava",
        entry("config.json", "image_token_index", value=3),
        "has no image token|image_token",
    ),
    "generation cut": ("llava", file("generation_config.json", "{"), r"generation_config\.json is not valid JSON"),
    "generation list": ("llava", file("generation_config.json", "[1]"), r"generation_config\.json holds a list"),
    "generation end is a word": (
        "llava",
        entry("generation_config.json", "eos_token_id", value="</s>"),
        r"generation_config\.json gives '</s>' as eos",
    ),
    "generation end beyond": (
        "llava",
        entry("generation_config.json", "eos_token_id", value=[2, 10**6]),
        r"gives 1000000 as eos_token_id",
    ),
    "no end in a list": (
        "llava",
        entry("generation_config.json", "eos_token_id", value=[None]),
        r"gives null as eos_token_id",
    ),
    "a list of no ends": ("llava", entry("generation_config.json", "eos_token_id", value=[]), r"gives \[\] as eos"),
    "nothing that ends an answer": (
        "llava",
        all_of(
            entry("tokenizer_config.json", "eos_token", gone=True),
            file("generation_config.json", "{}"),
        ),
        "says which token ends an answer",
    ),
    "layers without end": (
        "llava",
        entry("config.json", "vision_config", "num_hidden_layers", value=10**9),
        r"config\.json describes a model of 1000000000 layers \(num_hidden_layers\)",
    ),
    "unknown activation": ("llama", entry("config.json", "hidden_act", value="nonsense"), "cannot build|config"),
    "unknown dtype": ("llama", entry("config.json", "dtype", value="float17"), "cannot build|config"),
    "another vocabulary in config": ("llama", entry("config.json", "vocab_size", value=10**7), "of another shape than"),
    "no template": ("llava", file("chat_template.jinja", None), "has no chat template"),
    "template of another syntax": ("llava", template("{% for x in %}"), r"chat template in .*jinja fails"),
    "template open": ("llava", template("{% if messages %}<image>"), r"jinja fails"),
    "template raises": ("llava", template("{{ raise_exception('no') }}"), r"jinja fails \(no\)"),
    "template divides by zero": ("llava", template("{{ 1 / 0 }}"), r"jinja fails \(division by zero\)"),
    "template with an unknown filter": ("llava", template("{{ messages | nonsense }}"), r"jinja fails"),
    "template too large a range": (
        "llava",
        template("{% for x in range(10**12) %}{% endfor %}"),
        r"jinja fails \(Range",
    ),
    "template empty": ("llava", template(""), "has no chat template|leaves out what is asked"),
    "template leaves the text out": ("llava", template("<s>USER: <image> ASSISTANT:"), "leaves out what is asked"),
    "template leaves the image out": (
        "llava",
        template("{{ messages[0]['content'][1]['text'] }}"),
        "cannot take a picture and a question",
    ),
    "template of two images": (
        "llava",
        template("<image><image>{{ messages[0]['content'][1]['text'] }}"),
        "cannot take a picture",
    ),
    "template takes strings only": (
        "llava",
        template("{% for m in messages %}{{ 'USER: ' + m['content'] }}{% endfor %}"),
        r"jinja fails",
    ),
    "template in json broken": ("qwen2-vl", entry("chat_template.json", "chat_template", value="{% for"), "fails"),
    "template in json a number": (
        "qwen2-vl",
        entry("chat_template.json", "chat_template", value=7),
        r"template in .*chat_template\.json is no text",
    ),
    "templates by name, one a number": (
        "qwen2-vl",
        entry("chat_template.json", "chat_template", value={"default": 7}),
        r"template in .*chat_template\.json is no text",
    ),
    "template in json null": ("qwen2-vl", file("chat_template.json", "null"), r"chat_template\.json holds null"),
}


def _larger_vocabulary(path):
    said = json.loads(path.read_text())
    first = max(said["model"]["vocab"].values()) + 1
    said["model"]["vocab"] |= {f"extra{k}": first + k for k in range(200)}
    path.write_text(json.dumps(said))


@pytest.mark.parametrize("plant", PLANTS)
def test_a_damaged_model_is_one_sentence(copy, plant, capsys):
    name, damage, sentence = PLANTS[plant]
    folder = copy(name)
    damage(folder)
    with pytest.raises(UserError, match=sentence) as fault:
        snapshots.check(folder, FAMILIES[name])
    said = str(fault.value)
    assert "\n" not in said
    assert said.endswith(".")
    assert str(folder) in said
    assert "must never run" not in capsys.readouterr().out


ENDLESS = {
    "loops in loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "a power": "{{ 10 ** (10 ** 9) }}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a long text": "{{ 'a' * 10 ** 7 }}",
    "more than the memory": "{{ ('a' * 10 ** 9) ~ ('b' * 10 ** 9) ~ ('c' * 10 ** 9) }}",
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_endless_template_ends(copy, kind, monkeypatch):
    monkeypatch.setattr(rendering, "SECONDS", 1)
    folder = copy("llava")
    template(ENDLESS[kind])(folder)
    with pytest.raises(UserError, match=r"the chat template in .*chat_template\.jinja fails \(.*\): correct it"):
        snapshots.check(folder, FAMILIES["llava"])


def head_of_the_tower(count):
    return weights(lambda t: t.update({f"vision_tower.head.layers.{k}.weight": torch.ones(3) for k in range(count)}))


LEGITIMATE = {
    **{f"whole {name}": (name, all_of()) for name in FAMILIES},
    "position numbers are stored": (
        "llava",
        weights(lambda t: t.update({"vision_tower.embeddings.position_ids": torch.arange(5)[None]})),
    ),
    "rotary frequencies are stored": (
        "llama",
        weights(lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(16)})),
    ),
    "rotary frequencies of the model are stored": (
        "llama",
        weights(lambda t: t.update({"model.rotary_emb.inv_freq": torch.ones(16)})),
    ),
    "masks are stored": (
        "gpt-neox",
        weights(
            lambda t: t.update(
                {
                    "gpt_neox.layers.0.attention.bias": torch.ones(1, 1, 8, 8, dtype=torch.bool),
                    "gpt_neox.layers.0.attention.masked_bias": torch.tensor(float("-inf")),
                }
            )
        ),
    ),
    "a head of the tower is stored": ("llava", head_of_the_tower(2)),
    "float16": ("llava", weights(lambda t: t.update({k: v.half() for k, v in t.items()}))),
    "bfloat16": ("llava", weights(lambda t: t.update({k: v.bfloat16() for k, v in t.items()}))),
    "float64": ("llava", weights(lambda t: t.update({k: v.double() for k, v in t.items()}))),
    "no generation_config": ("llava", file("generation_config.json", None)),
    "several ends": ("llava", entry("generation_config.json", "eos_token_id", value=[2, 1])),
    "no padding token but an end": ("llava", entry("tokenizer_config.json", "pad_token", gone=True)),
    "code that is not needed": (
        "llama",
        entry("config.json", "auto_map", value={"AutoConfig": "configuration_mine.Mine"}),
    ),
    "special tokens beyond the embeddings that nothing writes": (
        "llama",
        entry(
            "tokenizer.json",
            "added_tokens",
            value=[
                {
                    "id": number,
                    "content": content,
                    "single_word": False,
                    "lstrip": False,
                    "rstrip": False,
                    "normalized": False,
                    "special": True,
                }
                for number, content in [(0, "<unk>"), (1, "<s>"), (2, "</s>"), (100_000, "<reserved>")]
            ],
        ),
    ),
    "tied, and the head is stored as well": (
        "llama",
        all_of(
            entry("config.json", "tie_word_embeddings", value=True),
            weights(lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"].clone()})),
        ),
    ),
    "pickled tensors": (
        "opt",
        lambda f: [
            torch.save(load_file(f / "model.safetensors"), f / "pytorch_model.bin"),
            (f / "model.safetensors").unlink(),
        ],
    ),
    "files of other things": (
        "llava",
        all_of(file("results.json", "[1, 2]"), file("README.txt", "hello")),
    ),
}


def _with_mark(path):
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


@pytest.mark.parametrize("kind", LEGITIMATE)
def test_a_whole_model_passes(copy, kind):
    name, change = LEGITIMATE[kind]
    folder = copy(name)
    change(folder)
    snapshots.check(folder, FAMILIES[name])


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_tied_and_untied_heads_pass(name, tied, tmp_path):
    make = {**tiny.MAKERS, **tiny.TEXT_MAKERS}[name][0]
    snapshots.check(make(tmp_path, tied=tied), FAMILIES[name])


@pytest.mark.parametrize("kind", ["yolos", "detr", "rt_detr"])
def test_detectors_are_held_against_their_weights_only(kind, tmp_path):
    family = registry.module_of("family", kind.replace("_", "-"))
    folder = tiny_detectors.snapshot(kind, tmp_path)
    snapshots.check(folder, family)
    for value in (None, "half", 7):
        damaged = shutil.copytree(folder, tmp_path / f"copy{value}", ignore=shutil.ignore_patterns("copy*"))
        entry("preprocessor_config.json", "do_normalize", value=True)(damaged)
        entry("preprocessor_config.json", "image_mean", value=value)(damaged)
        with pytest.raises(UserError, match=r"preprocessor_config\.json does not say how pictures are prepared"):
            snapshots.check(damaged, family)
    if kind == "yolos":
        entry("config.json", "num_attention_heads", value=2)(folder)
        weights(lambda t: t.update({"vit.encoder.layer.2.layernorm_before.weight": torch.ones(32)}))(folder)
        with pytest.raises(UserError, match="of parts that its config"):
            snapshots.check(folder, family)
