"""Where people's ratings lie: outside `results/`, so that nothing rebuilds or deletes a person's work.

The Snakefile imports this module, so it needs nothing but Python.
"""

from __future__ import annotations

from pathlib import Path

from bitbudget.errors import UserError

RATINGS = Path("ratings")  # at the repository's root


def rating_files(study: str) -> list[str]:
    """The ratings files of a study, sorted; none where nobody has rated yet."""
    # an editor's or a file manager's own files begin with a dot
    found = (path for path in (RATINGS / study).glob("*.json") if path.is_file())
    return sorted(str(path) for path in found if not path.name.startswith("."))


def needed_rating_files(study: str) -> list[str]:
    """The same, for the rule that reads them. Raises `UserError` where there is none, saying how to make one."""
    found = rating_files(study)
    if not found:
        raise UserError(
            f"there are no ratings in {RATINGS / study}/ yet: open results/{study}/spot_check.html in a browser, rate "
            f"its answers, press Save ratings, and put the file into that folder."
        )
    return found
