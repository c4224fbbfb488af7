"""Which items become the worked examples of a few-shot condition."""

from __future__ import annotations

from collections.abc import Sequence

from bitbudget.errors import UserError
from bitbudget.items import subset
from bitbudget.items.item import Item
from bitbudget.items.shots import answer_of


def choose(available: Sequence[Item], evaluated: Sequence[Item], number: int, seed: int, where: str) -> list[Item]:
    """`number` examples out of the items `available`, each with an image of its own.

    No example is an evaluated item or shows the image of one. They are ranked by seed and id, in a ranking other than
    the subset's: four are the first four of eight. Raises `UserError`, naming `where`, if there are not enough.
    """
    ids = {item.id for item in evaluated}
    taken = {key for item in evaluated for image in item.images for key in (image.id, image.source)}
    fit = {
        item.id: item
        for item in available
        if item.id not in ids and len(item.images) == 1 and answer_of(item.references)
    }
    chosen: list[Item] = []
    for one in subset.choose(fit, None, f"shots-{seed}"):
        image = fit[one].images[0]
        if image.id in taken or image.source in taken:
            continue
        taken |= {image.id, image.source}
        chosen.append(fit[one])
        if len(chosen) == number:
            return chosen
    raise UserError(
        f"{where} has only {len(chosen)} items for few-shot examples with images that are not evaluated, and {number} "
        "are needed; ask for fewer shots, for a smaller subset, or name another `shots_split`."
    )
