"""What people cannot see is refused by name; what they can write in their script is taken."""

import unicodedata

import pytest

from shared.pure.texts import needed, written

JOINERS = ("\u200c", "\u200d")
# Marks that stand before digits in Arabic, Syriac and Kaithi, and hieroglyphs' joints: format characters that are seen.
SEEN_FORMATS = {
    *"\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2",
    "\U000110bd",
    "\U000110cd",
}


def unseen() -> list[str]:
    """Every sign Unicode calls a control, a surrogate, a format character or a separator of lines."""
    signs = map(chr, range(0x110000))
    hidden = [sign for sign in signs if unicodedata.category(sign) in ("Cc", "Cs", "Cf", "Zl", "Zp")]
    hieroglyphs = {chr(code) for code in range(0x13430, 0x13440)}
    return [sign for sign in hidden if sign not in SEEN_FORMATS | hieroglyphs and sign not in "\t\n\r"]


def test_nothing_unseen_is_taken_wherever_it_stands() -> None:
    taken = []
    for sign in unseen():
        for text in (sign, f"a{sign}b", f"a{sign}", f"{sign}a"):
            try:
                written(text)
            except ValueError:
                continue
            taken.append((f"U+{ord(sign):04X}", text))
    assert taken == []


@pytest.mark.parametrize(
    "text",
    [
        "Café",
        "نمی\u200cخواهم",
        "क्\u200dष",
        "👩\u200d💻",
        "❤\ufe0f\u200d🔥",
        "葛\U000e0100",
        "line\nline\ttab",
        "½ € – “x”",
    ],
)
def test_what_people_write_is_taken(text: str) -> None:
    assert needed(text) == unicodedata.normalize("NFC", text)


def test_one_form_is_kept() -> None:
    assert written("Cafe\u0301") == "Caf\u00e9"


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "   ", "\n", "\t\r\n", "\u00a0\u00a0", "\u2003", "\u3000", "\u2800", "\u200b\u200b"),
        *("\u3164", "\u0301", "\ufe0f", "\u115f\u1160"),
    ],
)
def test_a_text_with_nothing_to_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"nothing to read|nobody can see"):
        needed(text)


@pytest.mark.parametrize("text", ["pay\u200droll", "pay\u200croll", "a\u200d", "\u200da", "é\u200d\u200dé"])
def test_a_joiner_between_latin_letters_makes_two_names_look_alike(text: str) -> None:
    with pytest.raises(ValueError, match="ZERO WIDTH"):
        written(text)


def test_the_refusal_names_the_sign_and_its_place() -> None:
    with pytest.raises(ValueError, match=r"remove sign 4, U\+202E RIGHT-TO-LEFT OVERRIDE: nobody can see it"):
        written("abc\u202egnp.exe")
