"""What people wrote stays text, even where it spells a control token.

A tokenizer takes `</s>` for its end-of-text token wherever it stands, and a processor puts an image in the place of
each `<image>`. In the chat template's own text that is meant; in a question, a prompt, an example or a passage not.
Each control token that such a text spells is therefore marked: `MARK` stands after its first character, so that neither
processor nor tokenizer finds it. The text is then split into tokens as if its tokenizer had no control tokens
(`split_special_tokens=True` gives the same for text that stands alone). Texts without one go the usual way, untouched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from bitbudget.errors import UserError

MARK = "\ufdd0\ufdd1"  # two of the code points that Unicode promises never to use in text
# Added tokens that are control tokens by their looks, though not declared special: `<|x|>`, `<x_y>`, `[X]`. HTML tags,
# which some tokenizers have as tokens (Gemma), have another form.
CONTROL = re.compile(r"<\|.+\|>|<[^<>\s]*_[^<>\s]*>|\[/?[A-Z_]+\]")


@lru_cache(maxsize=2)
def of(reader: Any) -> PlainText:
    """The guard of a tokenizer, or of a processor with its chat template; made once for each."""
    return PlainText(reader)


class PlainText:
    """Keeps the control tokens of one tokenizer apart from text that merely spells them.

    Control tokens are the special tokens, the other added tokens that the chat template or the processor writes or that
    look like one (`CONTROL`), and what the processor replaces: its attributes that are called tokens, and what the
    regular expressions find that it may have as `placeholders`. White space and single characters are none.
    """

    def __init__(self, reader: Any) -> None:
        self.tokenizer = getattr(reader, "tokenizer", reader)
        template = getattr(reader, "chat_template", None) or getattr(self.tokenizer, "chat_template", None) or ""
        written = "\0".join(template.values()) if isinstance(template, dict) else template
        own = {
            value
            for name, value in vars(reader).items()
            if reader is not self.tokenizer and isinstance(value, str) and name.endswith(("_token", "_tag"))
        }
        # what a processor writes in the place of a task (Florence-2's `<CAPTION>`)
        tables = [value for value in vars(reader).values() if isinstance(value, dict)]
        own |= {key for table in tables for key in table if isinstance(key, str) and key.startswith("<")}
        added = self.tokenizer.added_tokens_decoder.values()
        names = own | {
            token.content
            for token in added
            if token.special or token.content in written or CONTROL.fullmatch(token.content)
        }
        self.names = sorted((name for name in names if len(name.strip()) > 1), key=len, reverse=True)
        spellings = [*map(re.escape, self.names), *getattr(reader, "placeholders", ())]
        self._pattern = re.compile("|".join(spellings) or r"(?!)")
        # tokens that are looked for after the text is normalized, which may change its letters into theirs
        self._normalized = [token.content for token in added if token.normalized and token.content in names]
        self._plain: Any = None

    def mark(self, text: str, whose: str) -> str:
        """The text, with each control token that it spells marked; most texts spell none and come back as they are.

        Raises `UserError` that names `whose` text it is where its tokens would be control tokens all the same, and for
        a text that holds `MARK` itself.
        """
        if MARK in text:
            raise UserError(f"{whose} holds U+FDD0 and U+FDD1, which no text has: remove them.")
        if not self._spells(text):
            return text
        marked = self._pattern.sub(lambda found: found[0][0] + MARK + found[0][1:], text)
        marked = marked if MARK in marked else marked + MARK
        if not self.tokenizer.is_fast:
            raise UserError(
                self._refusal(text, whose, "its tokenizer, which is not a fast one, cannot read it as text")
            )
        numbers = set(self.tokenizer.convert_tokens_to_ids(self.names)) - {self.tokenizer.unk_token_id, None}
        if numbers & set(self._backend().encode(marked, add_special_tokens=False).ids):
            raise UserError(self._refusal(text, whose, "its tokenizer makes that token of plain letters, too"))
        return marked

    def ids(self, text: str, whose: str, *, begun: bool = False) -> list[int]:
        """The text's tokens, after what the tokenizer puts before a text if `begun`. Raises as `mark` does."""
        marked = self.mark(text, whose)
        with self.reading(marked):
            return self.tokenizer(marked, add_special_tokens=begun)["input_ids"]

    @contextmanager
    def reading(self, *texts: str) -> Iterator[None]:
        """While this is open, the tokenizer reads marked texts as plain ones, and all others as ever."""
        if not any(MARK in text for text in texts):
            yield
            return
        real = self.tokenizer._tokenizer
        self.tokenizer._tokenizer = _Backend(real, self._backend())
        try:
            yield
        finally:
            self.tokenizer._tokenizer = real

    def _spells(self, text: str) -> bool:
        if self._pattern.search(text):
            return True
        normalizer = self.tokenizer.backend_tokenizer.normalizer if self.tokenizer.is_fast else None
        if normalizer is None or not self._normalized:
            return False
        after = normalizer.normalize_str(text)
        return any(normalizer.normalize_str(name) in after for name in self._normalized)

    def _refusal(self, text: str, whose: str, why: str) -> str:
        found = self._pattern.search(text)
        what = repr(found[0]) if found else "a control token"
        return f"{whose} spells {what}, which the model would take for its control token, and {why}: change the text."

    def _backend(self) -> Any:
        """A copy of the tokenizer's backend that removes marks and looks for control tokens only before that."""
        if self._plain is None:
            from tokenizers import Tokenizer, normalizers

            said = json.loads(self.tokenizer.backend_tokenizer.to_str())
            for token in said["added_tokens"]:
                token["normalized"] = False
            plain = Tokenizer.from_str(json.dumps(said))
            unmark = normalizers.Replace(MARK, "")
            plain.normalizer = normalizers.Sequence([unmark, plain.normalizer]) if plain.normalizer else unmark
            plain.no_padding()
            plain.no_truncation()
            self._plain = plain
        return self._plain


class _Backend:
    """In the place of a tokenizer's backend: marked texts are encoded by `plain`, all else is done by `real`."""

    def __init__(self, real: Any, plain: Any) -> None:
        self.__dict__.update(_real=real, _plain=plain)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real, name, value)

    def encode_batch(self, texts: Sequence[str], **how: Any) -> list[Any]:
        """As the real one's, padding included."""
        padding = self._real.padding
        self._real.no_padding()
        found = [(self._plain if MARK in text else self._real).encode(text, **how) for text in texts]
        if padding is not None:
            self._real.enable_padding(**padding)
            length = padding["length"] or max(map(len, found))
            filler = {key: padding[key] for key in ("direction", "pad_id", "pad_type_id", "pad_token")}
            for encoding in found:
                encoding.pad(length, **filler)
        return found
