from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain import audit_chain
from bot.domain.audit_chain import DOMAIN, GENESIS, Anchor, CannotCheck, check, read_anchors

Entry = dict[str, object]
SIZE = 120


def chained(texts: list[str], first: int = 1, head: str = GENESIS) -> list[Entry]:
    entries: list[Entry] = []
    for seq, told in enumerate(texts, start=first):
        canonical = json.dumps({"seq": seq, "details": told}, ensure_ascii=False)
        mine = hashlib.sha256(f"{DOMAIN}\n{head}\n{canonical}".encode()).hexdigest()
        entries.append({"seq": seq, "canonical": canonical, "previous_hash": head, "hash": mine})
        head = mine
    return entries


def lines(entries: list[Entry]) -> list[str]:
    return [json.dumps(entry) for entry in entries]


def anchor_at(entries: list[Entry], seq: int) -> Anchor:
    return Anchor(seq=seq, hash=str(entries[seq - 1]["hash"]), source=f"anchor of {seq}")


WHOLE = chained([f"理由 {n}" for n in range(SIZE)])
ANCHORS = [anchor_at(WHOLE, seq) for seq in (40, 80, 119)]


def test_a_whole_log_is_whole_with_and_without_anchors() -> None:
    alone = check(lines(WHOLE))
    assert alone.ok
    assert (alone.first, alone.entries, alone.anchors) == (1, SIZE, 0)
    assert alone.head == WHOLE[-1]["hash"]
    assert "no anchor" in audit_chain.told(alone)
    assert check(lines(WHOLE), ANCHORS).anchors == 3


def test_a_part_of_a_log_is_checked_from_where_it_begins() -> None:
    part = check(lines(WHOLE[50:90]), ANCHORS[1:2], part=True)
    assert part.ok
    assert (part.first, part.entries, part.anchors) == (51, 90, 1)
    assert not check(lines(WHOLE[50:90])).ok
    assert check(lines(WHOLE[40:]), ANCHORS).ok
    assert not check(lines(WHOLE[40:60]), [Anchor(seq=40, hash="0" * 64, source="x")]).ok


def _edit(entries: list[Entry], at: int) -> None:
    entries[at] = {**entries[at], "canonical": json.dumps({"seq": at + 1, "details": "changed"})}


def _delete(entries: list[Entry], at: int) -> None:
    del entries[at]


def _insert(entries: list[Entry], at: int) -> None:
    entries.insert(at, dict(entries[at]))


def _swap(entries: list[Entry], at: int) -> None:
    entries[at], entries[at + 1] = entries[at + 1], entries[at]


def _rehash(entries: list[Entry], at: int) -> None:
    canonical = json.dumps({"seq": at + 1, "details": "changed"})
    previous = entries[at]["previous_hash"]
    mine = hashlib.sha256(f"{DOMAIN}\n{previous}\n{canonical}".encode()).hexdigest()
    entries[at] = {**entries[at], "canonical": canonical, "hash": mine}


TAMPERING = [_edit, _delete, _insert, _swap, _rehash]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(TAMPERING), st.integers(0, SIZE - 2))
def test_the_first_entry_that_was_touched_is_named(
    tamper: Callable[[list[Entry], int], None], at: int
) -> None:
    entries = [dict(entry) for entry in WHOLE]
    tamper(entries, at)
    found = check(lines(entries))
    assert not found.ok
    # What was put in or hashed anew shows at the entry after it at the latest.
    assert found.bad_seq is not None
    assert found.bad_seq in {at + 1, at + 2}


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 118), st.randoms(use_true_random=False))
def test_a_chain_that_was_recomputed_as_a_whole_shows_against_an_anchor(
    at: int, chance: random.Random
) -> None:
    texts = [f"理由 {n}" for n in range(SIZE)]
    texts[at] = f"changed {chance.random()}"
    forged = chained(texts)
    assert check(lines(forged)).ok
    found = check(lines(forged), ANCHORS)
    assert not found.ok
    after = min(anchor.seq for anchor in ANCHORS if anchor.seq > at)
    assert found.problem is not None
    assert f"entry {after} has another hash" in found.problem
    assert found.bad_seq is not None
    assert found.bad_seq <= at + 1


@pytest.mark.parametrize("left", [0, 1, 60, 118])
def test_a_tail_that_was_cut_shows_against_an_anchor(left: int) -> None:
    found = check(lines(WHOLE[:left]), ANCHORS)
    assert not found.ok
    assert found.bad_seq == left + 1


@pytest.mark.parametrize(
    "line",
    [
        "not JSON",
        "[]",
        "{}",
        '{"seq": "1", "canonical": "{}", "previous_hash": "", "hash": ""}',
        '{"seq": true, "canonical": "", "previous_hash": "'
        + "0" * 64
        + '", "hash": "'
        + "0" * 64
        + '"}',
    ],
)
def test_what_is_no_export_is_not_checked_and_says_why(line: str) -> None:
    with pytest.raises(CannotCheck, match="line 1 of export"):
        check([line])


def test_nothing_is_not_whole() -> None:
    with pytest.raises(CannotCheck, match="nothing to check"):
        check([])


def test_anchors_must_agree_with_each_other() -> None:
    other = Anchor(seq=40, hash="f" * 64, source="forged")
    found = check(lines(WHOLE), [ANCHORS[0], other])
    assert not found.ok
    named = Anchor(seq=80, hash=ANCHORS[1].hash, source="hourly", previous=(40, "f" * 64))
    contradicting = check(lines(WHOLE), [ANCHORS[0], named])
    assert not contradicting.ok
    assert "names another head of entry 40" in (contradicting.problem or "")


def test_anchors_are_read_from_a_folder_and_from_a_copied_digest(tmp_path: Path) -> None:
    folder = tmp_path / "anchors"
    folder.mkdir()
    for anchor in ANCHORS:
        (folder / f"audit-head-{anchor.seq:03}.json").write_text(
            json.dumps({"at": "x", "seq": anchor.seq, "hash": anchor.hash, "previous": None}) + "\n"
        )
    digest = tmp_path / "digest.txt"
    digest.write_text(
        f"監査ログ 1,204件目：{'a' * 64}\nAudit log, entry 40: {ANCHORS[0].hash}\n",
        encoding="utf-8",
    )
    assert [(a.seq, a.hash) for a in read_anchors([folder])] == [
        (anchor.seq, anchor.hash) for anchor in ANCHORS
    ]
    assert [a.seq for a in read_anchors([digest])] == [1204, 40]


@pytest.mark.parametrize("content", ["", "no digits", '{"seq": 1}', '{"seq": 1, "hash": "00"}'])
def test_a_file_without_an_anchor_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "anchors.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CannotCheck, match=r"anchors\.txt"):
        read_anchors([path])


@pytest.mark.parametrize(
    ("count", "anchored", "code", "said"),
    [
        (SIZE, True, 0, "OK: entries 1 to 120"),
        (100, True, 1, "BROKEN at entry 101"),
        (0, False, 2, ""),
    ],
)
def test_the_verifier_is_one_file_that_needs_nothing_else(
    tmp_path: Path, count: int, anchored: bool, code: int, said: str
) -> None:
    export, anchors = tmp_path / "export.jsonl", tmp_path / "anchors.jsonl"
    export.write_text("\n".join(lines(WHOLE[:count])), encoding="utf-8")
    anchors.write_text(
        "\n".join(json.dumps({"seq": a.seq, "hash": a.hash}) for a in ANCHORS), encoding="utf-8"
    )
    copied = tmp_path / "audit_chain.py"
    copied.write_bytes(Path(audit_chain.__file__).read_bytes())
    ran = subprocess.run(
        # -I: without the project on its path.
        [sys.executable, "-I", str(copied), str(export)]
        + (["--anchor", str(anchors)] if anchored else []),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == code, ran.stderr
    assert said in ran.stdout
    assert "Traceback" not in ran.stderr


def a_row_of_anchors(folder: Path) -> list[Path]:
    """Three hourly files as the bot writes them, each naming the one before."""
    before, files = None, []
    for hour, seq in enumerate((40, 80, 119)):
        head = str(WHOLE[seq - 1]["hash"])
        files.append(folder / f"audit-head-{hour}.json")
        files[-1].write_text(json.dumps({"seq": seq, "hash": head, "previous": before}) + "\n")
        before = {"seq": seq, "hash": head}
    return files


def test_an_anchor_that_was_taken_away_is_missed_by_the_one_after_it(tmp_path: Path) -> None:
    first, second, _ = a_row_of_anchors(tmp_path)
    assert check(lines(WHOLE), read_anchors([tmp_path])).ok
    second.unlink()
    found = check(lines(WHOLE), read_anchors([tmp_path]))
    assert not found.ok
    assert "the anchor of entry 80 before it, which is missing" in (found.problem or "")
    # The oldest may have outlived their retention, and what they told is told by the next.
    first.unlink()
    assert check(lines(WHOLE), read_anchors([tmp_path])).anchors == 2


def test_the_head_that_an_anchor_names_as_before_it_is_compared_too(tmp_path: Path) -> None:
    *_, last = a_row_of_anchors(tmp_path)
    forged = WHOLE[:79] + chained(["changed"] + ["x"] * 40, 80, str(WHOLE[78]["hash"]))
    assert check(lines(forged)).ok
    found = check(lines(forged), read_anchors([last]))
    assert "entry 80 has another hash" in (found.problem or "")


def test_half_an_anchor_does_not_keep_a_locked_folder_from_being_checked(tmp_path: Path) -> None:
    a_row_of_anchors(tmp_path)
    (tmp_path / "audit-head-3.json").write_text('{"seq": 120, "ha')
    assert check(lines(WHOLE), read_anchors([tmp_path])).anchors == 3


LONG = chained([f"理由 {n}" for n in range(300)])
LONG_LINES = lines(LONG)


def _truncate(entries: list[Entry], at: int) -> None:
    del entries[at:]


def _recompute(entries: list[Entry], at: int) -> None:
    """What a superuser can do: everything from here on numbered, chained and hashed anew."""
    head = str(entries[at - 1]["hash"]) if at else GENESIS
    for index in range(at, len(entries)):
        told = {**json.loads(str(entries[index]["canonical"])), "seq": index + 1}
        canonical = json.dumps(told, ensure_ascii=False)
        mine = hashlib.sha256(f"{DOMAIN}\n{head}\n{canonical}".encode()).hexdigest()
        entries[index] = {
            "seq": index + 1,
            "canonical": canonical,
            "previous_hash": head,
            "hash": mine,
        }
        head = mine


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([*TAMPERING, _truncate, _recompute]), st.integers(0, 298)),
        min_size=1,
        max_size=6,
    ),
    st.booleans(),
)
def test_whatever_was_done_to_a_log_shows_against_its_last_head(
    steps: list[tuple[Callable[[list[Entry], int], None], int]], covered: bool
) -> None:
    entries = [dict(entry) for entry in LONG]
    for tamper, at in steps:
        if len(entries) > at + 1:
            tamper(entries, at)
    if covered:
        _recompute(entries, 0)
    found = check(lines(entries), [anchor_at(LONG, 300)]) if entries else None
    if lines(entries) == LONG_LINES:
        assert found is not None
        assert found.ok
        return
    assert found is None or not found.ok
    differs = next(
        (n for n, (a, b) in enumerate(zip(entries, LONG, strict=False)) if a != b), len(entries)
    )
    if found is not None and not covered:
        # Nothing before what was touched is blamed, unless it was hashed anew with a chain that fits.
        assert found.bad_seq is not None
        assert found.bad_seq >= differs + 1 or "was rewritten, with a chain that fits" in str(
            found.problem
        )
