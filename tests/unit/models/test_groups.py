"""Module groups: which part of a model a path belongs to, and which format each part gets."""

import pytest

from bitbudget.errors import UserError
from bitbudget.models import groups

GROUPS = {  # of a LLaVA
    "vision": ("model.vision_tower",),
    "projector": ("model.multi_modal_projector",),
    "embeddings": ("model.language_model.embed_tokens",),
    "language": ("model.language_model",),
    "language.attention": ("model.language_model.layers.*.self_attn",),
    "language.mlp": ("model.language_model.layers.*.mlp",),
    "head": ("lm_head",),
}
LAYER = "model.language_model.layers.11"


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("model.vision_tower", "vision"),
        ("model.vision_tower.encoder.layers.0.self_attn.q_proj.weight", "vision"),
        ("model.multi_modal_projector.linear_1", "projector"),
        ("model.language_model.embed_tokens.weight", "embeddings"),
        (f"{LAYER}.self_attn.q_proj", "language.attention"),
        (f"{LAYER}.mlp.down_proj.weight", "language.mlp"),
        (f"{LAYER}.input_layernorm.weight", "language"),
        ("model.language_model.norm.weight", "language"),
        ("lm_head.weight", "head"),
    ],
)
def test_most_specific_group(path, group):
    assert groups.group_of(path, GROUPS) == group


@pytest.mark.parametrize("path", ["", "model", "model.vision_tower_2.weight", "language_model.embed_tokens.weight"])
def test_path_of_no_group_is_named(path):
    with pytest.raises(LookupError, match=f"^{path} belongs to none of the module groups vision, "):
        groups.group_of(path, GROUPS)


def test_star_is_exactly_one_component():
    stars = {"a": ("m.*.x",)}
    assert groups.group_of("m.0.x.weight", stars) == "a"
    for path in ("m.x", "m.0.1.x"):
        with pytest.raises(groups.GroupError):
            groups.group_of(path, stars)


def test_a_literal_component_beats_a_star():
    assert groups.group_of("m.last.x", {"any": ("m.*",), "last": ("m.last",)}) == "last"


def test_two_equal_claims_are_refused():
    with pytest.raises(groups.GroupError, match=r"m\.a belongs to the module groups one and two with equal right"):
        groups.group_of("m.a", {"two": ("m.a",), "one": ("m.a",)})


def test_groups_that_are_not_named_keep_the_baseline():
    found = groups.resolve({"language": "bnb-int8"}, GROUPS, "float16")
    assert found == {
        "vision": "float16",
        "projector": "float16",
        "embeddings": "float16",
        "language": "bnb-int8",
        "language.attention": "bnb-int8",
        "language.mlp": "bnb-int8",
        "head": "float16",
    }


def test_the_nearest_named_group_counts():
    spec = {"format": "bnb-int8", "threshold": 6.0}
    found = groups.resolve({"all": "float32", "language": spec, "language.mlp": "rtn-4"}, GROUPS, "float16")
    assert found["vision"] == found["head"] == "float32"
    assert found["language"] == found["language.attention"] == spec
    assert found["language.mlp"] == "rtn-4"


def test_a_nested_group_alone_leaves_the_rest_to_the_baseline():
    found = groups.resolve({"language.mlp": "rtn-2"}, GROUPS, "float16")
    assert {g for g, f in found.items() if f == "rtn-2"} == {"language.mlp"}


def test_unknown_group_lists_the_groups():
    with pytest.raises(UserError, match=r"'languge', which .* choose among vision, .* or 'all'"):
        groups.resolve({"languge": "float16"}, GROUPS, "float16")
