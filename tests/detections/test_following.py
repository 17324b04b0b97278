"""The operators' folder is followed: new, changed, removed and broken files, without a restart."""

from __future__ import annotations

import os
from pathlib import Path

from bot.detections.following import DetectionFolders, FolderChange
from tests.detections.heads import SOUND, write_detection


def settle(folders: DetectionFolders) -> FolderChange | None:
    """Two looks, as a change counts when it has come to rest."""
    assert folders.look() is None
    return folders.look()


def names(folders: DetectionFolders) -> list[str]:
    return [detection.name for detection in folders.loaded.detections]


def other(folder: Path, name: str) -> Path:
    return write_detection(folder, ("name: large_order", f"name: {name}"), name=f"{name}.sql")


def test_nothing_is_told_while_nothing_changes(tmp_path: Path) -> None:
    write_detection(tmp_path)
    folders = DetectionFolders([tmp_path])
    assert names(folders) == ["large_order"]
    assert folders.look() is None
    assert folders.look() is None


def test_files_that_come_change_and_go_are_taken_up(tmp_path: Path) -> None:
    write_detection(tmp_path)
    going = other(tmp_path, "going")
    folders = DetectionFolders([tmp_path])
    other(tmp_path, "coming")
    write_detection(tmp_path, ("default: 100000", "default: 200000"))
    going.unlink()
    change = settle(folders)
    assert change is not None
    assert (change.added, change.changed, change.removed) == (
        ("coming",),
        ("large_order",),
        ("going",),
    )
    assert names(folders) == ["coming", "large_order"]
    assert folders.look() is None


def test_a_file_that_is_being_written_is_not_read_yet(tmp_path: Path) -> None:
    folders = DetectionFolders([tmp_path])
    path = tmp_path / "large_order.sql"
    path.write_text(SOUND[:200], encoding="utf-8")
    assert folders.look() is None
    path.write_text(SOUND, encoding="utf-8")
    change = settle(folders)
    assert change is not None
    assert (change.added, change.refused) == (("large_order",), ())


def test_of_a_file_that_breaks_the_last_good_version_goes_on(tmp_path: Path) -> None:
    path = write_detection(tmp_path)
    other(tmp_path, "sound")
    folders = DetectionFolders([tmp_path])
    good = folders.loaded.detections[0]
    path.write_text(SOUND.replace("severity: P2", "severity: P9"), encoding="utf-8")
    change = settle(folders)
    assert change is not None
    assert change.kept == ("large_order",)
    assert (change.added, change.changed, change.removed) == ((), (), ())
    (problem,) = change.refused
    assert (problem.path, problem.line) == (path, 8)
    assert "severity" in problem.message
    assert names(folders) == ["large_order", "sound"]
    assert folders.loaded.detections[0] is good
    # Told once; mended, it counts at once.
    other(tmp_path, "third")
    change = settle(folders)
    assert change is not None
    assert (change.added, change.refused, change.kept) == (("third",), (), ("large_order",))
    path.write_text(SOUND.replace("severity: P2", "severity: P1"), encoding="utf-8")
    change = settle(folders)
    assert change is not None
    assert (change.changed, change.kept) == (("large_order",), ())
    assert folders.loaded.problems == ()


def test_a_new_file_that_is_broken_keeps_no_other_out(tmp_path: Path) -> None:
    write_detection(tmp_path)
    folders = DetectionFolders([tmp_path])
    (tmp_path / "broken.sql").write_text("SELECT 1", encoding="utf-8")
    other(tmp_path, "sound")
    change = settle(folders)
    assert change is not None
    assert change.added == ("sound",)
    assert [problem.path.name for problem in change.refused] == ["broken.sql"]
    assert names(folders) == ["large_order", "sound"]


def test_a_folder_that_is_away_takes_no_detection_with_it(tmp_path: Path) -> None:
    folder, aside = tmp_path / "own", tmp_path / "aside"
    folder.mkdir()
    write_detection(folder)
    folders = DetectionFolders([folder])
    folder.rename(aside)
    change = settle(folders)
    assert change is not None
    assert change.kept == ("large_order",)
    assert "no such folder" in change.refused[0].message
    aside.rename(folder)
    change = settle(folders)
    assert change is not None
    assert (change.kept, change.changed, change.removed) == ((), (), ())


def test_a_mount_whose_links_are_swapped_is_followed(tmp_path: Path) -> None:
    """As Kubernetes does with a ConfigMap: the files are links through a link that is replaced."""
    for version, least in (("v1", "default: 100000"), ("v2", "default: 300000")):
        (tmp_path / version).mkdir()
        write_detection(tmp_path / version, ("default: 100000", least))
    mount = tmp_path / "mount"
    mount.mkdir()
    (mount / "..data").symlink_to(tmp_path / "v1")
    (mount / "large_order.sql").symlink_to(Path("..data") / "large_order.sql")
    folders = DetectionFolders([mount])
    (mount / "..new").symlink_to(tmp_path / "v2")
    os.replace(mount / "..new", mount / "..data")  # noqa: PTH105 - as the kubelet does it
    change = settle(folders)
    assert change is not None
    assert change.changed == ("large_order",)
    assert folders.loaded.detections[0].parameters[0].default == 300000
