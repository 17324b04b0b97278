from __future__ import annotations

from datetime import timedelta

from bot.actions import registry
from bot.detections.detection import BUILT_IN, Detection
from bot.detections.loading import load_detections
from bot.playground.postgres import Server
from tests.bench.detect import PLAIN, Timed, figure_of, measure
from tests.bench.large_market import END, Size, moments
from tests.conftest import run

SMALL = Size(orders=3_000, follows=6_000)


def test_every_detection_that_counts_in_a_window_is_timed_against_its_plain_query(
    database_server: Server,
) -> None:
    figures = run(measure(database_server, SMALL, looks=1))
    assert len(figures) == len(PLAIN) >= 16
    for figure, name in zip(figures, PLAIN, strict=True):
        assert name in figure.name
        assert figure.baseline
        assert figure.ratio is not None
        assert figure.ratio > 0


def _timed(name: str, *, tick_s: float) -> Timed:
    pack: dict[str, Detection] = {
        one.name: one for one in load_detections([BUILT_IN], actions=registry()).detections
    }
    return Timed(detection=pack[name], plain=PLAIN[name], tick_s=tick_s, plain_s=1.0)


def test_the_aim_is_for_windows_of_a_day_and_more_over_ten_million_orders() -> None:
    ten_million = Size(orders=10_000_000, follows=20_000_000)
    assert figure_of(_timed("ship_to_cluster", tick_s=0.05), ten_million).met is True
    assert figure_of(_timed("ship_to_cluster", tick_s=0.06), ten_million).met is False
    assert figure_of(_timed("card_testing", tick_s=0.06), ten_million).met is None
    assert figure_of(_timed("ship_to_cluster", tick_s=0.06), SMALL).met is None


def test_ticks_look_at_other_rows_each_time() -> None:
    assert moments(3, timedelta(minutes=1)) == [END - timedelta(minutes=n) for n in range(3)]
