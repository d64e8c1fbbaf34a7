"""Logs of trainings with numbers that no training has."""

from __future__ import annotations

import json
from pathlib import Path

from pytest_llmdiff.data.training.log import read_training_log


def test_more_examples_than_there_are_numbers_are_unknown(tmp_path: Path) -> None:
    results = {"train_runtime": 1e308, "train_samples_per_second": 1e308, "epoch": 1.0}
    (tmp_path / "all_results.json").write_text(json.dumps(results), encoding="utf-8")
    log = read_training_log(tmp_path)
    assert log is not None
    assert (log.examples_seen, log.epochs) == (None, 1.0)
