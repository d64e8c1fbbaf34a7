"""All readers together."""

from __future__ import annotations

from pathlib import Path

from benchmarks.faults.project import Project
from benchmarks.faults.reading.llamafactory import of_llamafactory
from benchmarks.faults.reading.models import of_models
from benchmarks.faults.reading.probes import of_probes
from benchmarks.faults.reading.reader import Reader
from benchmarks.faults.reading.runs import of_runs
from benchmarks.faults.reading.servers import ask, good_answer
from benchmarks.faults.reading.trainings import of_trainings


def readers(folder: Path, project: Project) -> list[Reader]:
    """All readers; good files are made in the folder, and by runs of the project."""
    return [
        *of_probes(folder),
        *of_runs(project),
        *of_trainings(),
        *of_llamafactory(),
        *of_models(folder),
        Reader(name="server", files={"body": good_answer()}, read=ask),
    ]
