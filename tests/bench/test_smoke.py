from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_bench_runs_and_tells_its_baselines(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    ran = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--quick", "--only", "clicks", "--only", "operations",
         "--only", "burst", "--json", str(written)],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    told = json.loads(written.read_text(encoding="utf-8"))
    with_ratio = [figure for figure in told["figures"] if figure["ratio"] is not None]
    assert len(with_ratio) >= 4
    assert all(figure["baseline"] and figure["ratio"] > 0 for figure in with_ratio)
    (burst,) = [figure for figure in told["figures"] if "findings in one tick" in figure["name"]]
    assert burst["met"] is not None
    assert told["machine"]["Postgres fsync"] == "on"
