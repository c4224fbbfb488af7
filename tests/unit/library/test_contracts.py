"""What tracks, data sets, families and formats must say of themselves, and what counts where they do not."""

import sys
import types

import pytest
from config_folder import is_one_sentence

import additions
from bitbudget import contracts, registry
from bitbudget.errors import UserError

EVERY = [(kind, name) for kind, names in registry.KINDS.items() for name in names]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_all_that_is_registered_says_what_it_must(kind: str, name: str) -> None:
    assert registry.module_of(kind, name)


@pytest.mark.parametrize("name", ["track", "format", "family", "dataset"])
def test_what_is_incomplete_is_refused_by_its_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = {"track": "RISK", "format": "title", "family": "ABOUT", "dataset": "ABOUT"}[name]
    module = types.ModuleType("toy")
    exec(getattr(additions, name.upper()), vars(module))
    if name == "format":
        monkeypatch.delattr("bitbudget.models.formats.rtn.RoundToNearest.title")
    else:
        delattr(module, lost)
    monkeypatch.setitem(registry.KINDS[name], "toy", "bitbudget.toy")
    if name == "format":
        module.FORMATS["toy"] = module.FORMATS["toy-5"]
    monkeypatch.setitem(sys.modules, "bitbudget.toy", module)
    with pytest.raises(UserError) as caught:
        registry.module_of(name, "toy")
    said = str(caught.value)
    assert said.startswith(f"workflow/scripts/bitbudget/toy.py lacks {lost}; ") and is_one_sentence(said)


def test_what_does_not_fit_is_refused() -> None:
    module = types.SimpleNamespace(**dict.fromkeys(contracts.FAMILY, None) | {"MODEL_TYPES": "llava"})
    assert contracts.fault("family", module).startswith("has 'llava' as MODEL_TYPES, which does not fit")


def test_the_defaults_are_the_safe_ones() -> None:
    silent = types.SimpleNamespace()
    assert contracts.of(silent, "READS_TEXT") is True and contracts.of(silent, "PUBLISHED") is False
    with pytest.raises(KeyError):
        contracts.of(silent, "RISK")  # of which there is none to assume
    assert contracts.of(types.SimpleNamespace(PUBLISHED=True), "PUBLISHED") is True
    assert contracts.of(silent, "worth")({"x": 3}, "x") == 3
