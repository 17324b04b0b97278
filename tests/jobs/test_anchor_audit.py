from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.domain.audit_chain import read_anchors
from bot.jobs.anchor_audit import newest_anchor, write_anchor

AT = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


def test_each_anchor_is_a_file_of_its_own_that_names_the_one_before(tmp_path: Path) -> None:
    folder = tmp_path / "anchors"
    heads = [f"{n}" * 64 for n in (1, 2, 3)]
    for hours, head in enumerate(heads):
        write_anchor(folder, 10 * (hours + 1), head, AT + timedelta(hours=hours))
    found = read_anchors([folder])
    assert [(anchor.seq, anchor.hash) for anchor in found] == [
        (10, heads[0]),
        (20, heads[1]),
        (30, heads[2]),
    ]
    assert [anchor.previous for anchor in found] == [None, (10, heads[0]), (20, heads[1])]
    assert len(list(folder.iterdir())) == 3


def test_an_anchor_that_stands_is_never_written_over(tmp_path: Path) -> None:
    write_anchor(tmp_path, 1, "1" * 64, AT)
    with pytest.raises(FileExistsError):
        write_anchor(tmp_path, 2, "2" * 64, AT)
    assert [anchor.seq for anchor in read_anchors([tmp_path])] == [1]


def test_half_a_file_does_not_end_the_row_of_anchors(tmp_path: Path) -> None:
    write_anchor(tmp_path, 1, "1" * 64, AT)
    (tmp_path / "audit-head-20261123T050000.000000Z.json").write_text('{"seq": 2, "ha')
    newest = newest_anchor(tmp_path)
    assert newest is not None
    assert newest.seq == 1
    assert newest_anchor(tmp_path / "empty") is None
