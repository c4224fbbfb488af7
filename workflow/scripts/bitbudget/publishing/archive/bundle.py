"""The entries of a study's archive."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from bitbudget import files
from bitbudget.inspection.redaction import Redactor
from bitbudget.publishing.archive import code as codes
from bitbudget.publishing.archive import contents, package, pictures, readme, redacted
from bitbudget.publishing.archive.contents import Study
from bitbudget.publishing.archive.package import Entry


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
    own: dict[str, Study] = {}
    outside, unread = [], []
    for study in sorted(studies, key=lambda one: not one.redacts):  # what two name is redacted where one of them is
        inside, elsewhere = contents.own_files(work, study.resolved)
        # data that is part of the code, as files of a checkout are, is named by the study as well
        for name in [*inside, *(path for path in elsewhere if study.redacts and path in code.files)]:
            if study.redacts and not redacted.is_readable(name):
                unread.append(name)
            elif name not in unread:
                own.setdefault(name, study)
        outside += [path for path in elsewhere if not any(Path(name).is_relative_to(path) for name in code.files)]
    yield package.of_text("README.md", readme.text(studies, code, sorted(set(outside)), sorted(set(unread))))
    kept = [name for name in code.files if name not in unread]
    hashes = {name: files.sha256_of(work / name) for name in kept}
    sign = codes.sign(studies[0].name, code, hashes)
    yield package.of_text(f"{readme.WORK}/{codes.SIGN}", json.dumps(sign, indent=1, ensure_ascii=False) + "\n")
    published = {study.name: _publisher(study) for study in studies}
    for name in kept:
        if name not in own:
            yield package.of_file(f"{readme.WORK}/{name}", work / name)
    for name, study in own.items():
        yield published[study.name](name, work / name, own=True)
    for study in reversed(studies):
        for name in study.shipped:
            whole = f"results/{study.name}/{name}"
            if name == contents.PAGE and study.kept_back:
                yield _free_page(study, f"{readme.WORK}/{whole}")
            else:
                yield published[study.name](whole, study.folder / name)
        if study.pictures:
            name = f"{readme.WORK}/results/{study.name}/{pictures.TABLE}"
            yield package.of_text(name, pictures.table(study.pictures))


def _free_page(study: Study, name: str) -> Entry:
    """The results page without the pictures that may not be passed on."""
    path = study.folder / contents.PAGE
    return Entry(name, lambda: [pictures.without_others(path, study.kept_back)], path.stat().st_size)


class _Publisher(Protocol):
    def __call__(self, name: str, path: Path, *, own: bool = False) -> Entry: ...


def _publisher(study: Study) -> _Publisher:
    """What makes an entry of a file of the study's, its texts redacted where the study's are.

    `own` says that the file is the user's own; then all of it is text.
    """
    if not study.redacts:
        return lambda name, path, own=False: package.of_file(f"{readme.WORK}/{name}", path)
    redact = Redactor(True, study.resolved["inspection"]["phone_region"])
    asked = redacted.questions(study.folder)

    def entry(name: str, path: Path, *, own: bool = False) -> Entry:
        whole = f"{readme.WORK}/{name}"
        if not own and not redacted.holds_texts(name):
            return package.of_file(whole, path)
        return Entry(whole, lambda: redacted.chunks(path, redact, asked), path.stat().st_size)

    return entry
