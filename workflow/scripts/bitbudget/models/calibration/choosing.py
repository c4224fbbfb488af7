"""Which texts a quantization method looks at: none that is evaluated, the same for every precision of a study."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bitbudget.datasets.passage_rows import read_passages
from bitbudget.errors import UserError
from bitbudget.items import subset
from bitbudget.items.item import Item
from bitbudget.models.calibration.texts import text_of

TELLING = 40  # so many letters of a text found in another are no chance


def draw(available: Sequence[Item], evaluated: Sequence[Item], number: int, seed: int, where: str) -> list[Item]:
    """`number` of the items `available` in the order of their rank under the seed, no two of the same text.

    None has the text of an evaluated item, and so none is an evaluated item; ids cannot tell, because two splits number
    their lines alike. Texts that differ in nothing but case, punctuation and spaces count as the same: LAMBADA's two
    variants do. The rank is another than the subset's and the examples', and a smaller choice is the beginning of a
    larger one. Raises `UserError`, naming `where`, if there are not enough.
    """
    seen = {_letters(item) for item in evaluated}
    by_id = {item.id: item for item in available}
    chosen: list[Item] = []
    for one in subset.choose(by_id, None, f"calibration-{seed}"):
        text = _letters(by_id[one])
        if text in seen:
            continue
        seen.add(text)
        chosen.append(by_id[one])
        if len(chosen) == number:
            return chosen
    raise UserError(
        f"{where} has only {len(chosen)} different texts that are not evaluated, and {number} are needed to calibrate; "
        "set fewer `items` in `quantization.calibration`, or name another `split` or a `file` there."
    )


def draw_from_file(path: Path, evaluated: Sequence[Item], number: int, seed: int) -> list[Item]:
    """`number` of the passages of a user's file, drawn as `draw` draws; the ids are its line numbers.

    Raises `UserError` where any of its passages is or holds one that is evaluated, naming the line, or where a line is
    no passage.
    """
    passages = read_passages(path)
    texts = {_letters(item): item.id for item in evaluated}
    long = [text for text in texts if len(text) >= TELLING]
    for passage in passages:
        letters = _letters(passage)
        same = letters if letters in texts else next((text for text in long if text in letters), None)
        if same is not None:
            raise UserError(
                f"{path}, line {passage.id}, is or holds the evaluated item {texts[same]!r}; "
                "remove it, because what is evaluated must not be calibrated on."
            )
    return draw(passages, [], number, seed, str(path))


def _letters(item: Item) -> str:
    """A text's letters and digits, whatever their case; the text itself where it has none."""
    text = text_of(item)
    return re.sub(r"[\W_]+", "", text).casefold() or text
