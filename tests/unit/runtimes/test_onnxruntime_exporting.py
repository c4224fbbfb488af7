"""Modules as ONNX files: what comes back is what the module returned, and what cannot be exported is refused."""

import pytest
import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutput

from bitbudget.errors import UserError
from bitbudget.runtimes.onnxruntime import exporting
from bitbudget.runtimes.onnxruntime.module import OrtModule
from bitbudget.runtimes.onnxruntime.reaching import Call


class Tower(nn.Module):
    """Returns an output of transformers, with a list in it, a tensor twice, and nothing in one place."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 4)
        self.patch_size = 14

    def forward(self, pixels, scale=1.0, mask=None):
        made = self.layer(pixels) * scale
        if mask is not None:
            made = made * mask[..., None]
        return BaseModelOutput(last_hidden_state=made, hidden_states=(pixels + 1, None, made))


class Branching(Tower):
    def forward(self, pixels):
        return self.layer(pixels) if pixels.sum() > 0 else self.layer(-pixels)


class Counting(Tower):
    """Computes something else of one picture than of several, which the exporter decides once for all."""

    def forward(self, pixels):
        return self.layer(pixels) * (2 if len(pixels) > 1 else 1)


class Wordy(Tower):
    def forward(self, pixels):
        return {"a dictionary": self.layer(pixels)}


def calls(*sizes, **more):
    generator = torch.Generator().manual_seed(0)
    return [Call((torch.rand(size, 3, 8, generator=generator),), more) for size in sizes]


def exported(module, seen, tmp_path):
    module = module.eval().requires_grad_(False)
    return exporting.export(module, "tower", seen, tmp_path / "tower.onnx")


def test_a_module_returns_what_the_original_returned(tmp_path):
    torch.manual_seed(0)
    tower, masks = Tower().eval().requires_grad_(False), [torch.ones(1, 3), torch.tensor([[0.0, 1, 1], [1, 1, 0]])]
    seen = [
        Call((torch.rand(len(mask), 3, 8),), {"scale": 2.0, "mask": mask}) for mask in masks
    ]  # fmt: skip
    signature, told = exported(tower, seen, tmp_path)
    assert told["relative_difference"] < 1e-6
    assert told["open_dimensions"] == {"[0][0]": [0], "[1]['mask']": [0]}
    here = OrtModule(tmp_path / "tower.onnx", signature.as_json(), tower, torch.float32, "cpu", "tower")
    given = torch.rand(5, 3, 8), {"scale": 2.0, "mask": torch.rand(5, 3)}
    found, wanted = (one(given[0], **given[1]) for one in (here, tower))
    assert type(found) is BaseModelOutput
    assert found.hidden_states[1] is None
    for index in (0, 2):
        torch.testing.assert_close(found.hidden_states[index], wanted.hidden_states[index])
    torch.testing.assert_close(found.last_hidden_state, wanted.last_hidden_state)
    assert here.patch_size == 14
    assert list(here.parameters()) == []
    with pytest.raises(UserError, match="is called in another way"):
        here(given[0], scale=3.0, mask=given[1]["mask"])


@pytest.mark.parametrize(
    ("module", "seen", "sentence"),
    [
        (Branching, calls(1, 2), "torch cannot export it"),
        (Counting, calls(1, 2), "what it computes of a picture differs from torch's by 1"),
        (Wordy, calls(1, 2), "it returns a dict"),
        (Tower, [*calls(1), *calls(2, scale=3.0)], "pictures of different sizes reach it in different ways"),
        (Tower, calls(1, 2, scale=torch.dtype), "it is given a type"),
    ],
)
def test_what_cannot_be_exported_is_refused(module, seen, sentence, tmp_path):
    with pytest.raises(UserError, match=f"ONNX Runtime cannot hold tower: .*{sentence}"):
        exported(module(), seen, tmp_path)


def test_a_class_of_another_library_is_not_made(tmp_path):
    torch.manual_seed(0)
    tower = Tower().eval().requires_grad_(False)
    signature, _ = exported(tower, calls(1, 2), tmp_path)
    told = signature.as_json() | {"outputs": ["os.system", {"command": 0}]}
    here = OrtModule(tmp_path / "tower.onnx", told, tower, torch.float32, "cpu", "tower")
    with pytest.raises(UserError, match=r"names os\.system as what a module returns"):
        here(torch.rand(2, 3, 8))
