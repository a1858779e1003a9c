"""training.images.terms: which terms are permissive, word by word, and which images remain."""

import logging
from pathlib import Path

import pytest

from training.images.manifest import Record
from training.images.terms import permissive_records, read_terms, restrictions, terms_of


@pytest.mark.parametrize(
    "terms",
    [
        "CC0",
        "CC-BY",
        "CC BY 4.0",
        "MIT",
        "MIT (repo licence, data shipped in it)",
        "Apache-2.0 (repo)",
        "BSD-3-Clause",
        "public domain",
    ],
)
def test_permissive(terms):
    assert not restrictions(terms)


@pytest.mark.parametrize(
    "terms",
    [
        "",
        "CC BY-NC 4.0",
        "CC BY-NC-SA 4.0 (NC)",
        "CC BY-SA 4.0",
        "CC BY-ND 4.0",
        "CC BY 4.0, share-alike",
        "MIT, for non-commercial use",
        "GPL-3.0 LICENSE in repo; cite paper",
        "AGPL, or MIT on request",
        "conditions of use",
        "licence unclear (no LICENSE file; paper CC-BY)",
        "BBBC (Creative Commons; exact version not in repo), repo MIT",
        "repo without licence; data set CC-BY 4.0 (believed)",
        "no licence file",
        "as above",
        "challenge data, research use",
        "permitted, submitted, omitted",
        "CC BY 4.0, non commercial use only",
        "MIT (not for commercial use)",
        "MIT, commercial use is not allowed",
        "BSD-3; for non–commercial use",
        "Apache 2.0 with Commons Clause",
        "MIT, academic use only",
        "CC BY 4.0, research purposes only",
        "CC BY 4.0 for academic and educational purposes",
        "CC0 code; images all rights reserved",
        "CC BY 4.0, no derivatives",
    ],
)
def test_not_permissive(terms):
    assert restrictions(terms)


@pytest.mark.parametrize(
    "terms, expected",
    [
        ("CTC conditions of use", "conditions"),
        ("GPL-3.0 LICENSE in repo; cite paper", "conditions"),
        ("CC BY-SA 4.0", "conditions"),
        ("CC BY-ND 4.0", "conditions"),
        ("ask the author", "conditions"),
        ("CTC conditions of use; repo without licence", "conditions, unclear"),
        ("CTC conditions of use (free for research, cite; redistribution terms not explicit)", "conditions, unclear"),
        ("challenge data; no licence file in the copies used, research use", "conditions, unclear"),
        ("Commons Clause licence (non-commercial)", "non-commercial"),
        ("CC BY-NC-SA 4.0 (NC)", "non-commercial, conditions"),
        ("", "unclear"),
        ("as above", "unclear"),
        ("MIT (not for commercial use)", "non-commercial"),
        ("Apache 2.0 with Commons Clause", "non-commercial"),
        ("MIT, academic use only", "conditions"),
        ("CC BY 4.0; commercial use is free", ""),
        ("CC0", ""),
    ],
)
def test_what_restricts(terms, expected):
    """Whatever is not permissive is in one group at least."""
    assert ", ".join(restrictions(terms)) == expected


TABLE = """# Data

| source | images | terms |
| --- | --- | --- |
| free | 3 | MIT |
| bound | 2 | CC BY-NC 4.0 |
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(TABLE)
    return path


def test_terms_of_a_source(table):
    """Pseudo labels have those of their images, drawn images their own, an unknown source none."""
    terms = read_terms(table)
    assert [terms_of(name, terms) for name in ("free", "bound_pseudo", "synthetic_dic_pseudo", "other")] == [
        "MIT",
        "CC BY-NC 4.0",
        "CC0 (drawn by training.synthesize)",
        "",
    ]
    assert terms_of("synthetic_dic", {"synthetic_dic": "MIT"}) == "MIT"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_a_table_of_a_spreadsheet(tmp_path, encoding):
    """With a byte-order mark, or in an older encoding; with its ends of lines."""
    path = tmp_path / "terms.csv"
    path.write_bytes("source,terms\r\nzellen,CC BY 4.0 (Universität)\r\n".encode(encoding))
    assert read_terms(path) == {"zellen": "CC BY 4.0 (Universität)"}


def test_images_of_permissive_sources_remain(table, caplog):
    names = ("free", "bound", "free_pseudo", "synthetic_rods", "unlisted", "free")
    records = [Record(Path(f"{i}.png"), None, "unlabelled", name) for i, name in enumerate(names)]
    with caplog.at_level(logging.INFO):
        assert permissive_records(records, table) == [records[i] for i in (0, 2, 3, 5)]
    assert caplog.messages == [
        "permissive: free, MIT",
        "permissive: free_pseudo, MIT",
        "permissive: synthetic_rods, CC0 (drawn by training.synthesize)",
        "left out: bound, CC BY-NC 4.0",
        "left out: unlisted, terms not given",
    ]
    with pytest.raises(ValueError, match="README.md: no source has permissive terms"):
        permissive_records(records[1:2], table)
