"""A `config/` folder of the test's own: the real tables, and one study that the test changes as it likes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from bitbudget.config.study import load_studies
from bitbudget.errors import UserError
from bitbudget.system.machine import Machine

ROOT = Path(__file__).parents[3]
STUDY: dict[str, Any] = {
    "study": "mine",
    "track": "captioning",
    "dataset": {"name": "demo-scenes"},
    "models": ["demo-vlm"],
}


class ConfigFolder:
    """The folder `config/` of the working directory, which is a temporary one."""

    def __init__(self, folder: Path):
        shutil.copytree(ROOT / "config", folder / "config")
        (folder / "demo").symlink_to(ROOT / "demo")
        self.write_study()

    def write_study(self, name: str = "mine", **keys: Any) -> None:
        """Write config/studies/{name}.yaml; a key of value None is left out."""
        content = {key: value for key, value in (STUDY | {"study": name} | keys).items() if value is not None}
        Path(f"config/studies/{name}.yaml").write_text(yaml.safe_dump(content))

    def add(self, table: str, **entries: Any) -> None:
        """Add entries to config/{table}.yaml."""
        path = Path(f"config/{table}.yaml")
        path.write_text(path.read_text() + "\n" + yaml.safe_dump(entries))

    def resolved(self, machine: Machine | None = None, tell: Any = id, **keys: Any) -> dict[str, Any]:
        """The study of these keys, resolved for a machine."""
        self.write_study(**keys)
        return load_studies({"study": "mine"}, machine=machine, tell=tell)["mine"]

    def refusal(self, config: dict[str, Any] | None = None, **keys: Any) -> str:
        """The sentence with which the study of these keys, or this configuration, is refused."""
        if keys:
            self.write_study(**keys)
        with pytest.raises(UserError) as caught:
            load_studies(config or {"study": "mine"})
        sentence = str(caught.value)
        assert is_one_sentence(sentence), sentence
        return sentence


def is_one_sentence(text: str) -> bool:
    """One line that ends as a sentence does and shows none of Python's own words."""
    python = ("Traceback", "<class", "Error(", "None", "deque", "is not of type", "is a required property")
    return "\n" not in text and text[-1] in ".?" and ". " not in text[:-1] and not any(word in text for word in python)
