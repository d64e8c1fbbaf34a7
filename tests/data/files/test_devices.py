"""A link in a repository may lead to a device that never ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmdiff.data.files.checklist import checklist_prompts
from pytest_llmdiff.data.files.probe_files import read_probe_file
from pytest_llmdiff.data.llamafactory.datasets import read_dataset
from pytest_llmdiff.data.llamafactory.templates import read_templates
from pytest_llmdiff.data.training.config import read_training_config
from pytest_llmdiff.errors import LLMDiffError
from pytest_llmdiff.reports.diff.reading import read_report
from pytest_llmdiff.verdicts.accepted import read_accepted
from pytest_llmdiff.verdicts.baseline_file import read_baseline
from tests.support.bounded import bounded

READERS: tuple[tuple[str, Callable[[Path], object]], ...] = (
    ("probes.jsonl", read_probe_file),
    ("texts.txt", checklist_prompts),
    ("pairs.tsv", checklist_prompts),
    ("data.json", read_dataset),
    ("template.py", read_templates),
    ("train.yaml", read_training_config),
    ("run.json", read_report),
    ("accepted.yaml", read_accepted),
    ("baseline.json", read_baseline),
)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="the system has no such device")
@pytest.mark.parametrize(("name", "read"), READERS, ids=[name for name, _ in READERS])
def test_it_is_refused_in_words(tmp_path: Path, name: str, read: Callable[[Path], object]) -> None:
    # /dev/null ends at once, so that a reader that is not bounded fails the test and not the run.
    (tmp_path / name).symlink_to("/dev/null")
    with pytest.raises(LLMDiffError, match="it is a device, not a file"):
        read(tmp_path / name)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="the system has no such device")
def test_a_device_without_end(tmp_path: Path) -> None:
    link = tmp_path / "accepted.yaml"
    link.symlink_to("/dev/zero")
    code = """
import sys
from pathlib import Path
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.verdicts.accepted import read_accepted
try:
    read_accepted(Path(sys.argv[1]))
except ConfigError as error:
    print(error)
"""
    assert "it is a device, not a file" in bounded(code, link)
