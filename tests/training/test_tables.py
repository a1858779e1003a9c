"""training.tables: as people read them, as files, and what a damaged one is told."""

import pytest

from training.tables import drop_rows_after, read_table, text_table, write_row, write_table


def test_table():
    """A failed image, which has no stages, comes first here; the columns keep their order all the same."""
    failed = {"image": "a", "real": 2.5, "peak MB": None, "failure": "exit code 1"}
    done = {"image": "long name", "real": 123.456, "peak MB": 70, "read": 0.0123, "failure": ""}
    assert text_table([failed, done]).splitlines() == [
        "image        real  peak MB   read      failure",
        "a            2.50  unknown         exit code 1",
        "long name  123.46       70  0.012",
    ]


def test_no_text_is_a_formula(tmp_path):
    """Names of files begin as they like; numbers may be negative."""
    path = tmp_path / "table.csv"
    write_table(path, [{"image": "=1+1.png", "a": -1.25, "b": "a=b"}], digits=1)
    assert path.read_text().splitlines()[1] == "'=1+1.png,-1.2,a=b"


def test_files_and_back(tmp_path):
    """A shorter record leaves its columns empty, failure comes last; numbers are rounded where that is wanted."""
    path = tmp_path / "new" / "t.csv"
    write_table(path, [{"a": 0.123456, "failure": "x"}, {"a": 1, "b": "two, three"}], digits=4)
    assert path.read_text().splitlines() == ["a,b,failure", "0.1235,,x", '1,"two, three",']
    assert read_table(path, ("a",))[1] == (3, {"a": "1", "b": "two, three", "failure": ""})


def test_rows_are_appended_under_one_header(tmp_path):
    for step in (1, 2):
        write_row(tmp_path / "t.csv", {"step": step})
    assert (tmp_path / "t.csv").read_text().split() == ["step", "1", "2"]


@pytest.mark.parametrize(
    "content, said",
    [(None, "cannot be opened"), (b"\xff\xfe\x00", "not a CSV file"), (b"", "no column a"), (b"b\n1\n", "no column a")],
)
def test_a_table_that_cannot_be_read(tmp_path, content, said):
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=f"t.csv: {said}"):
        read_table(path, ("a",))


def test_lines_of_lost_steps_are_taken_back(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("step,loss\n50,0.3\n100,-0.2\n150,0.1\n")
    drop_rows_after(path, 100)
    assert path.read_text() == "step,loss\n50,0.3\n100,-0.2\n"


def test_damaged_lines_are_dropped(tmp_path):
    """One that was cut off, zeros in its place, one to which the next was joined: the run goes on."""
    path = tmp_path / "log.csv"
    path.write_text("step,loss\n50,0.3\n,\n\0\0\0\nnan,0.3\n100,0.100,0.2\n100,0.2\n")
    drop_rows_after(path, 100)
    assert path.read_text() == "step,loss\n50,0.3\n100,0.2\n"


def test_a_table_of_lost_steps_alone_is_taken_away(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("step,loss\n50,0.3\n")
    drop_rows_after(path, -1)
    drop_rows_after(path, -1)
    assert list(tmp_path.iterdir()) == []
