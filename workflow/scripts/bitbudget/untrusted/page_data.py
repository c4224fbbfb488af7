"""Data and programs inside a page that loads nothing: JSON that no text can break out of, and hashes that name scripts.

Both are for pages with a content security policy that lets the browser run what it names by hash and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any


def embedded(content: Any) -> str:
    """JSON that can stand inside a `script` element: no character of it can open or close one."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def script_hash(program: str) -> str:
    """What a content security policy calls an inline script by (W3C, Content Security Policy Level 3, 2.3.1)."""
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    return f"sha256-{digest}"
