"""An extension of griffe: docstrings in the form that the site renders.

Formulas become MathML, which browsers draw without a script; runnable examples become code.
"""

from __future__ import annotations

import re
from typing import Any

import griffe
from latex2mathml.converter import convert

EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)
BLOCK = re.compile(r"^( *)\.\. math::\s*(\S.*(?:\n\1 +\S.*)*)", re.MULTILINE)
INLINE = re.compile(r":math:`([^`]+)`")


class Readable(griffe.Extension):
    """Rewrites every docstring."""

    def on_instance(self, *, obj: griffe.Object | griffe.Alias, **_: Any) -> None:
        """Called once per module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = readable(obj.docstring.value)


def readable(text: str) -> str:
    """A docstring with MathML in the place of LaTeX, its examples in a section of examples."""
    text = EXAMPLE.sub(r"\1Examples:", text)
    text = BLOCK.sub(lambda found: found[1] + mathml(found[2], "block"), text)
    # Within a span, since Markdown takes a tag at the beginning of a line for a paragraph.
    return INLINE.sub(lambda found: f"<span>{mathml(found[1], 'inline')}</span>", text)


def mathml(latex: str, display: str) -> str:
    """A formula as MathML on one line."""
    plain = re.sub(r"\\[bB]ig[lr]?(?![a-z])", "", " ".join(latex.split()))
    return convert(plain.replace(r"\arg", r"\operatorname{arg}"), display=display)
