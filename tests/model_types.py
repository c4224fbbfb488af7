"""Write docs/model-types.md, the table of what works for every model type: `python tests/model_types.py`, minutes.

It is made with tiny random models, so it says that a type's parts are found and its way is whole, and nothing of
quality. `tests/unit/models/test_model_types.py` holds what it claims.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "workflow/scripts"), str(ROOT / "tests/unit/helpers")]
PAGE = ROOT / "docs/model-types.md"
STEPS = {"reading": ("fetched", "groups", "quantized", "audited", "answers")}
STEPS["seeing"] = (*STEPS["reading"], "few-shot")
TITLES = {"seeing": "Vision-language models", "reading": "Language models"}
WORKS, FAILS, UNTRIED, AFTER = "yes", "no", "not tried", ""

INTRODUCTION = """# Model types

What works for the model types of transformers {version}, by `model_type` in a model's config.json. Each type was tried
with a tiny random model in the layout of the Hub: `fetched` (the checks after a download), `groups` (the module groups
are read from the model), `quantized` (LLM.int8() in the groups language and vision), `audited`, `answers`, and
`few-shot` (worked examples, each with an image of its own). `reached` is the share of these groups' weights that are
linear layers, which a format holds; fused experts are not. It is that of the tiny model. Under a half, a study has to
say that it wants it (`quantization.least_coverage`). A yes says that the way is whole; it says nothing of quality, and
nothing of a real checkpoint's files. What comes after a no was not tried, and neither
was a type whose default configuration makes no tiny model.

Made by `python tests/model_types.py`; `family` can be left out for every type here.
"""


def main() -> None:
    """Examine every type and write the page."""
    import examined_types
    import tiny_seeing
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as READING

    transformers.logging.set_verbosity_error()
    parts = [INTRODUCTION.format(version=transformers.__version__)]
    for kind, names in (("seeing", tiny_seeing.TYPES), ("reading", READING)):
        examine = getattr(examined_types, kind)
        parts.append(_table(kind, {name: _examined(examine, name) for name in sorted(names)}))
    PAGE.write_text("\n".join(parts), encoding="utf-8")


def _examined(examine: Callable[[str], dict[str, str]], name: str) -> dict[str, str]:
    print(name, file=sys.stderr)
    try:
        return examine(name)
    except Exception as fault:  # a model's or a library's own
        return {"fetched": f"not tried to its end: {' '.join(str(fault).split())[:150]}"}


def _table(kind: str, found: dict[str, dict[str, str]]) -> str:
    steps = STEPS[kind]
    works = sum(one.get("answers") == "" for one in found.values())
    rows = [f"| type | {' | '.join(steps)} | reached | why not |", f"|---|{'---|' * (len(steps) + 2)}"]
    for name, one in found.items():
        cells = [cell(one[step]) if step in one else AFTER for step in steps]
        rows.append(f"| {name} | {' | '.join(cells)} | {one.get('reached', '')} | {_why(one)} |")
    return f"## {TITLES[kind]}\n\n{works} of {len(found)} types answer.\n\n" + "\n".join(rows) + "\n"


def cell(said: str) -> str:
    """What the page has for a step of which an examination says this."""
    return (UNTRIED if said.startswith(("no tiny model", "not tried")) else FAILS) if said else WORKS


def _why(one: dict[str, str]) -> str:
    said = next((text for step, text in one.items() if text and step != "reached"), "")
    said = re.sub(r"/\S*/tmp\w+", "the model", re.sub(r"/tmp/\w+", "the model", said))
    return said.replace("|", "\\|").replace("\n", " ")


def rows(kind: str) -> dict[str, dict[str, str]]:
    """What the page says of each type: `yes`, `no` or nothing by step."""
    text = PAGE.read_text(encoding="utf-8").split(f"## {TITLES[kind]}\n")[1].split("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    return {line[0]: dict(zip(STEPS[kind], (cell.strip() for cell in line[1:]), strict=False)) for line in lines}


if __name__ == "__main__":
    main()
