"""BibTeX of what a text cites, of the software, and of a submission."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from unmix.results import FOLDER

BIBLIOGRAPHY = Path(__file__).with_name("references.bib")
CITATION = FOLDER.parent / "CITATION.cff"  # of a checkout; an installed wheel has none
CITED = re.compile(r"((?:[A-Z]\w+, )*[A-Z]\w+(?: et al\.| & [A-Z]\w+)?),? (\d{4})")


def cited(text: str) -> list[str]:
    """The entries of `references.bib` that a docstring cites; a paper that is not there is left out.

    >>> [entry.split(",")[0] for entry in cited("InfoNCE (Zimmermann et al. 2020; Wang & Isola 2020; Nobody 1999).")]
    ['@inproceedings{zimmermann2020', '@inproceedings{wangisola2020']
    """
    keys = dict.fromkeys(_key(names, year) for names, year in CITED.findall(" ".join(text.split())))
    return [references()[key] for key in keys if key in references()]


def titled(text: str) -> str:
    """The entry whose title a text names, "" where there is none."""
    titles = {re.search(r"title = {(.+)}", entry)[1]: entry for entry in references().values()}  # type: ignore[index]
    return next((entry for title, entry in titles.items() if title in text), "")


@cache
def references() -> dict[str, str]:
    """Key -> entry."""
    text = BIBLIOGRAPHY.read_text(encoding="utf-8")
    entries = [f"@{part}".strip() for part in re.split(r"^@", text, flags=re.MULTILINE) if part.strip()]
    return {entry[entry.index("{") + 1 : entry.index(",")]: entry for entry in entries}


@cache
def software() -> str:
    """Of unmix, from CITATION.cff; "" where there is none."""
    if not CITATION.exists():
        return ""
    content = yaml.safe_load(CITATION.read_text(encoding="utf-8"))
    authors = [a.get("name") or f"{a['family-names']}, {a['given-names']}" for a in content["authors"]]
    names = " and ".join(f"{{{name}}}" if ", " not in name else name for name in authors)
    return (
        f"@software{{unmix,\n  title = {{{content['title']}}},\n  author = {{{names}}},\n"
        f"  version = {{{content['version']}}}\n}}"
    )


def submitted(submission: Mapping[str, Any] | None) -> str:
    """A submission's own citation, as it gives it."""
    return str((submission or {}).get("citation") or "").strip()


def bibliography(*entries: str) -> str:
    """Entries one after the other, none twice, empty ones left out."""
    return "\n\n".join(dict.fromkeys(entry for entry in entries if entry))


def _key(names: str, year: str) -> str:
    """Letters of all the names, without accents: "Hyvärinen & Morioka", "2016" -> "hyvarinenmorioka2016"."""
    plain = unicodedata.normalize("NFKD", names.replace(" et al.", "").replace("Kuegelgen", "Kugelgen"))
    return "".join(letter for letter in plain if letter.isascii() and letter.isalpha()).lower() + year
