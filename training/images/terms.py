"""What the sources of the training data allow: their terms, and which of them are permissive.

The terms are read from a table with the columns source and terms. They are *permissive* if they name CC0, the public
domain, CC BY, MIT, BSD, ISC or Apache, and nothing in them restricts that. What restricts is *non-commercial*;
*conditions*: share-alike or no-derivatives clauses, some uses only, the GPL and conditions of use of a publisher's own,
for nobody has decided whether weights are derived from the images and would have to be passed on under the same terms;
or *unclear*, as a source is that the table lacks. Images drawn by `training.synthesize` are CC0.
"""

import csv
import io
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from training.images.manifest import PSEUDO_SUFFIX, SYNTHETIC_PREFIX, Record

log = logging.getLogger(__name__)

NON_COMMERCIAL = re.compile(
    r"\bNC\b|non\W*commercial|\b(no|not)\b[^.;]*\bcommercial|commons clause"
    r"|\bcommercial\b[^.;]*\b(not|excluded|forbidden|prohibited)\b",
    re.IGNORECASE,
)
UNCLEAR = re.compile(
    r"^$|unclear|not? explicit|no licen[cs]e|without licen[cs]e|exact version not|as above", re.IGNORECASE
)
FREE = re.compile(r"\bCC[ -]?0\b|\bpublic domain\b|\bCC[ -]BY\b|\b(MIT|BSD|ISC)\b|\bApache\b", re.IGNORECASE)
BOUND = re.compile(
    r"\b(SA|ND)\b|share\W?alike|no\W?deriv|\b[AL]?GPL|conditions of use|all rights reserved|\bonly\b"
    r"|\b(research|academic|education\w*|teaching|personal|private) (use|purposes?)\b",
    re.IGNORECASE,
)
RESTRICTIONS = {"non-commercial": NON_COMMERCIAL, "conditions": BOUND, "unclear": UNCLEAR}
DRAWN = "CC0 (drawn by training.synthesize)"


def restrictions(terms: str) -> list[str]:
    """Of RESTRICTIONS those that a source's terms have; words that nobody has foreseen are conditions. None of
    permissive ones.

    Examples
    --------
    >>> [restrictions(text) for text in ("CC BY 4.0", "CC BY-NC-SA 4.0 (NC)", "GPL-3.0", "as agreed", "")]
    [[], ['non-commercial', 'conditions'], ['conditions'], ['conditions'], ['unclear']]
    """
    found = [name for name, pattern in RESTRICTIONS.items() if pattern.search(terms)]
    return found if found or FREE.search(terms) else ["conditions"]


def read_terms(path: Path) -> dict[str, str]:
    """Column terms by column source, of a CSV file or of the first table in a Markdown file that has both.

    Raises ValueError if there is no such table.
    """
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:  # as older spreadsheets save it
        text = content.decode("latin-1")
    lines = list(io.StringIO(text, newline=""))
    if path.suffix.lower() == ".csv":
        rows = list(csv.reader(lines))
    else:
        rows = [[cell.strip() for cell in line.strip(" |\r\n").split("|")] for line in lines if line.startswith("|")]
    header = next((i for i, row in enumerate(rows) if {"source", "terms"} <= set(row)), None)
    if header is None:
        raise ValueError(f"{path}: no table with the columns source and terms; add one, or leave out --terms")
    source, terms = rows[header].index("source"), rows[header].index("terms")
    return {row[source]: row[terms] for row in rows[header + 1 :] if len(row) > max(source, terms)}


def terms_of(source: str, table: Mapping[str, str]) -> str:
    """Terms of a source; pseudo labels have those of their images. "" where the table says nothing."""
    published = source.removesuffix(PSEUDO_SUFFIX)
    return table.get(published, DRAWN if published.startswith(SYNTHETIC_PREFIX) else "")


def permissive_records(records: Sequence[Record], path: Path) -> list[Record]:
    """Those of sources whose terms are permissive, by the table in a file; the log lists the sources of both kinds.

    Raises ValueError if there is no table, or no such source.
    """
    table = read_terms(path)
    sources = sorted({record.source for record in records})
    kept = [source for source in sources if not restrictions(terms_of(source, table))]
    if not kept:
        raise ValueError(
            f"{path}: no source has permissive terms (python -m pydoc training.images.terms says which are)"
        )
    for source in kept:
        log.info("permissive: %s, %s", source, terms_of(source, table))
    for source in sorted(set(sources) - set(kept)):
        log.info("left out: %s, %s", source, terms_of(source, table) or "terms not given")
    return [record for record in records if record.source in set(kept)]
