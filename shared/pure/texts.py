"""Texts that people write and others must be able to read: in one Unicode form, without what cannot be seen.

Letters that nobody sees make two names look the same, and marks of direction make one read backwards
(Unicode Technical Report 36). Records that are signed may hold neither.
"""

import re
import unicodedata
from typing import Final

_N = "[^\x00-\x7f\\s\u200b-\u200f]"
# Controls but for tab and line ends; lone surrogates; marks of direction, spaces and joiners without width, tags,
# separators and the fillers of other scripts' input methods.
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff"
    "\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
    # Joiners are part of Persian, Indic and emoji writing: good between two signs beyond ASCII, and nowhere else.
    f"|[\u200c\u200d](?!{_N})|(?<!{_N})[\u200c\u200d]"
)
_BLANK_BRAILLE: Final = "\u2800"
_SEEN: Final = frozenset("LNPS")


def written(text: str) -> str:
    """The text in Unicode form NFC. `ValueError` names the first sign in it that cannot be seen."""
    if text.isascii() and text.isprintable():
        return text
    unseen = _UNSEEN.search(text)
    if unseen is not None:
        raise ValueError(f"remove sign {unseen.start() + 1}, {_named(unseen[0])}: nobody can see it")
    return unicodedata.normalize("NFC", text)


def needed(text: str) -> str:
    """A written text in which there is something to read; `ValueError` for a blank one."""
    text = written(text)
    if not is_readable(text):
        raise ValueError("write something: there is nothing to read in it")
    return text


def is_readable(text: str) -> bool:
    """Whether there is anything to read in the text."""
    return any(unicodedata.category(sign)[0] in _SEEN and sign != _BLANK_BRAILLE for sign in text)


def _named(sign: str) -> str:
    return f"U+{ord(sign):04X} {unicodedata.name(sign, 'control character')}"
