"""The entries of a study's archive."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bitbudget import files
from bitbudget.archive import code as codes
from bitbudget.archive import contents, package, readme, redacted
from bitbudget.archive.contents import Study
from bitbudget.archive.package import Entry
from bitbudget.inspection.redaction import Redactor


def bundle(work: Path, folders: Sequence[Path], out: Path) -> list[Study]:
    """Write the archive of the study in the first of these results folders, told of together with the others.

    `work` is the working folder. Returns the studies with what is in and what was left out. Raises `UserError` where a
    study is not finished.
    """
    studies = [contents.read(folder, delivered=folder == folders[0]) for folder in folders]
    package.write(out, studies[0].name, _entries(work, studies))
    return studies


def _entries(work: Path, studies: Sequence[Study]) -> Iterator[Entry]:
    """The page, the code, what is the user's own, the results: each after what it is made from."""
    code = codes.of(work)
    own, outside = [], []
    for study in studies:
        inside, elsewhere = contents.own_files(work, study.resolved)
        own += [(study, name) for name in inside if name not in code.files]
        outside += [path for path in elsewhere if not any(Path(name).is_relative_to(path) for name in code.files)]
    yield package.of_text("README.md", readme.text(studies, code, sorted(set(outside))))
    hashes = {name: files.sha256_of(work / name) for name in code.files}
    sign = codes.sign(studies[0].name, code, hashes)
    yield package.of_text(f"{readme.WORK}/{codes.SIGN}", json.dumps(sign, indent=1, ensure_ascii=False) + "\n")
    published = {study.name: _publisher(study) for study in studies}
    taken: set[str] = set()
    for name in code.files:
        taken.add(name)
        yield package.of_file(f"{readme.WORK}/{name}", work / name)
    for study, name in own:
        if name not in taken:
            taken.add(name)
            yield published[study.name](name, work / name)
    for study in reversed(studies):
        for name in study.shipped:
            yield published[study.name](f"results/{study.name}/{name}", study.folder / name)


def _publisher(study: Study) -> Callable[[str, Path], Entry]:
    """What makes an entry of a file of the study's, its texts redacted where the study's are."""
    if not study.redacts:
        return lambda name, path: package.of_file(f"{readme.WORK}/{name}", path)
    redact = Redactor(True, study.resolved["inspection"]["phone_region"])
    asked = redacted.questions(study.folder)

    def entry(name: str, path: Path) -> Entry:
        whole = f"{readme.WORK}/{name}"
        if not redacted.holds_texts(name):
            return package.of_file(whole, path)
        return Entry(whole, lambda: redacted.chunks(path, redact, asked), path.stat().st_size)

    return entry
