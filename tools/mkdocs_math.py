"""MkDocs hook: LaTeX to MathML when the pages are built, so that no script is fetched.

Pages write ``$$ ... $$`` and ``$...$``; docstrings write ``.. math::``.
"""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

_CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
_INLINE = re.compile(r"(?<![\\$])\$(\S(?:[^$\n]*\S)?)\$")
_DOCSTRING = re.compile(r"<p>\.\. math::\s*(.+?)</p>", re.DOTALL)


def _display(match: re.Match[str]) -> str:
    return convert(html.unescape(match[1]).strip(), display="block")


def on_page_markdown(markdown: str, **_: Any) -> str:  # noqa: ANN401
    """Convert the formulas of a page, those in code excepted."""
    parts = _CODE.split(markdown)
    for i in range(0, len(parts), 2):
        text = _BLOCK.sub(lambda match: f"\n{_display(match)}\n", parts[i])
        parts[i] = _INLINE.sub(lambda match: convert(match[1]), text)
    return "".join(parts)


def on_page_content(content: str, **_: Any) -> str:  # noqa: ANN401
    """Convert the formulas of docstrings."""
    return _DOCSTRING.sub(_display, content)
