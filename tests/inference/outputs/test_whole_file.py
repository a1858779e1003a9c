"""A file appears whole or not at all, whoever else writes in the folder."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from inference.outputs.whole_file import remove_leftovers, whole_file


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole_file(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_temporary_name_cannot_be_guessed(tmp_path):
    """Two writers of one file have two of them, and neither tells the file's name."""
    with whole_file(tmp_path / "a.txt") as one, whole_file(tmp_path / "a.txt") as two:
        one.write_text("1"), two.write_text("2")
        assert one != two
        assert one.parent == two.parent == tmp_path
        assert "a.txt" not in one.name + two.name
    assert (tmp_path / "a.txt").read_text() == "1", "the last one to end"


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "a.txt").symlink_to(tmp_path / "precious")
    with whole_file(tmp_path / "a.txt") as partial:
        partial.write_text("new")
    assert (tmp_path / "precious").read_text() == "mine"
    assert not (tmp_path / "a.txt").is_symlink()


def test_the_longest_name(tmp_path):
    with whole_file(tmp_path / ("n" * 255)) as partial:
        partial.write_text("new")
    assert len(list(tmp_path.iterdir())) == 1


def test_the_content_is_on_the_disk_before_it_has_the_name(tmp_path, monkeypatch):
    done, sync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append(os.fstat(file).st_size), sync(file)))
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append("renamed"), replace(old, new)))
    with whole_file(tmp_path / "a.txt") as partial:
        partial.write_text("12345")
    assert done[:2] == [5, "renamed"]


def test_the_umask_holds(tmp_path):
    before = os.umask(0o027)
    try:
        with whole_file(tmp_path / "a.txt") as partial:
            partial.write_text("new")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_every_read_of_the_final_name_is_a_whole_file(tmp_path):
    """While several writers write it again and again."""
    path = tmp_path / "a.txt"
    texts = [str(number) * 50_000 for number in range(4)]
    path.write_text(texts[0])

    def write(text):
        for _ in range(20):
            with whole_file(path) as partial:
                with open(partial, "w") as file:
                    for start in range(0, len(text), 5_000):
                        file.write(text[start : start + 5_000])

    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(write, text) for text in texts]
        while not all(job.done() for job in jobs):
            assert path.read_text() in texts
        for job in jobs:
            job.result()
    assert len(list(tmp_path.iterdir())) == 1


def test_leftovers_of_killed_runs(tmp_path):
    """They are removed; what is being written, and files of others, are not."""
    (tmp_path / ".0123456789abcdef.part").write_text("half")
    (tmp_path / ".download.part").write_text("of another program")
    (tmp_path / ".ffffffffffffffff.part").symlink_to(tmp_path / ".download.part")
    with whole_file(tmp_path / "a.txt") as partial:
        remove_leftovers(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {".download.part", ".ffffffffffffffff.part", partial.name}
