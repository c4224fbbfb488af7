"""The items with images that methods look at: none that is evaluated, the same for every precision of a study."""

from __future__ import annotations

from collections.abc import Sequence

from bitbudget import files
from bitbudget.errors import UserError
from bitbudget.items import subset
from bitbudget.items.item import Item


def draw(available: Sequence[Item], evaluated: Sequence[Item], number: int, seed: int, where: str) -> list[Item]:
    """`number` of the items `available` in the order of their rank under the seed.

    None is an evaluated item or shows the image of one. The rank is another than the subset's, and a smaller choice is
    the beginning of a larger one. Raises `UserError`, naming `where`, if there are not enough.
    """
    ids = {item.id for item in evaluated}
    taken = {key for item in evaluated for image in item.images for key in (image.id, image.source)}
    fit = {
        item.id: item
        for item in available
        if item.id not in ids and not taken & {key for image in item.images for key in (image.id, image.source)}
    }
    if len(fit) < number:
        raise UserError(
            f"{where} has only {len(fit)} images that are not evaluated, and {number} are needed to calibrate; set "
            "fewer `items` in `quantization.calibration`, name another `split` there, or evaluate a smaller subset."
        )
    return [fit[one] for one in subset.choose(fit, number, f"calibration-{seed}")]


def hash_of(items: Sequence[Item]) -> str:
    """Hash of images, questions and references in their order, the `calibration_hash` of records."""
    return files.hash_of([{**item.to_dict(), "extra": {}} for item in items])
