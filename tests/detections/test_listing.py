"""`rules list` and `rules check` say what there is and what it lacks."""

from __future__ import annotations

from pathlib import Path

from bot.detections.detection import BUILT_IN
from bot.detections.listing import check_detections, list_detections
from bot.detections.loading import load_detections
from bot.market.contract import CONTRACT
from tests.detections.heads import write_detection

WHOLE = {relation: frozenset(columns) for relation, columns in CONTRACT.items()}


def test_the_list_names_every_detection() -> None:
    listed = {line.name: line for line in list_detections(load_detections([BUILT_IN]))}
    assert {"self_dealing_link", "follow_churn"} <= set(listed)
    line = listed["self_dealing_link"]
    assert (line.severity, line.subject, line.every_s, line.window_s) == (
        "P1",
        "order",
        30,
        7 * 86400,
    )
    assert line.actions == ("hold", "cancel")
    assert line.title_ja.endswith("の疑い")


def test_the_built_in_detections_lack_nothing_on_the_whole_contract() -> None:
    checked = check_detections(load_detections([BUILT_IN]), WHOLE)
    assert len(checked) == len(list(BUILT_IN.glob("*.sql")))
    assert [line for line in checked if line.problems or line.warnings] == []


def test_a_check_names_what_the_marketplace_lacks() -> None:
    small = {name: columns for name, columns in WHOLE.items() if name != "account_events"}
    small["orders"] = small["orders"] - {"device_id", "ip", "tracking_number"}
    by_name = {line.name: line for line in check_detections(load_detections([BUILT_IN]), small)}
    assert by_name["self_dealing_link"].warnings == (
        "the marketplace does not have the relation account_events; what depends on it is never found.",
        "the marketplace does not have orders.device_id, ip; what depends on it is never found.",
    )
    assert by_name["many_cards_per_buyer"].warnings == ()


def test_a_check_lists_broken_files_and_missing_examples(tmp_path: Path) -> None:
    write_detection(tmp_path)
    broken = write_detection(tmp_path, ("severity: P2", "severity: P9"), name="broken.sql")
    refused, sound = check_detections(load_detections([tmp_path]), None)
    assert refused.path == str(broken)
    assert refused.name is None
    assert any(":8: severity" in sentence for sentence in refused.problems)
    assert sound.name == "large_order"
    assert sound.warnings == ("large_order.test.yml is missing; write a hit and a near miss.",)
