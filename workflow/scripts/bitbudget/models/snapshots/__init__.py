"""Whether a fetched model is whole and can be asked, told in one sentence before anything is computed with it."""

from __future__ import annotations

import logging
from pathlib import Path
from types import ModuleType

from bitbudget import contracts
from bitbudget.errors import UserError

log = logging.getLogger("bitbudget")


def check(folder: Path, family: ModuleType, templated: bool = False) -> None:
    """Check the files of a model that transformers runs: configuration, tokenizer and processor, weights.

    `templated`: config/models.yaml says how the model is asked, so that it needs no chat template. Of a detector, which
    has no tokenizer, the configuration, how pictures are prepared, and the weights are checked. Raises `UserError` that
    names the file at fault and the remedy.
    """
    from bitbudget.models import readers
    from bitbudget.models.snapshots import reading, seeing, small_files, weights
    from bitbudget.system.quiet import quiet_libraries

    small_files.check_json(folder)
    quiet_libraries()
    config = small_files.check_configuration(folder)
    question = None
    if contracts.of(family, "detector"):
        small_files.check_pictures(folder, family, config)
    else:
        question = reading.check_tokenizer(folder, family, config, templated)
    try:
        surplus = weights.check(folder, family)
    except ImportError as fault:
        raise UserError(readers.missing_package(f"the model in {folder}", fault)) from None
    if question is not None:
        seeing.check_picture(folder, family, config, question)
    if surplus:
        log.info("%d weights are of no part of the model and are left out (%s, ...)", len(surplus), surplus[0])
