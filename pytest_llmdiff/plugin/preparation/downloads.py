"""What the selected tests need from the hub, downloaded before the first of them: first its size is
told, then its progress is shown. Under xdist the controller does it, once for all workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config import hub
from pytest_llmdiff.config.packages import missing_packages
from pytest_llmdiff.plugin.progress import progress_for

if TYPE_CHECKING:
    from pytest_llmdiff.config.specs import Spec
    from pytest_llmdiff.plugin.session import Session

MEGABYTE = 1_000_000
DOWNLOADED = "MB downloaded"


def of_models(session: Session) -> list[hub.Download]:
    """What is not here of the models: of the base and all tuned ones, and of the served model and
    the judge, if they were named for this run. Otherwise the two are fetched when a test asks.

    Raises:
        ConfigError: the hub cannot be asked, and the files that are here are not all.
    """
    from pytest_llmdiff.config.specs import fetch, repository

    downloads = dict[str, hub.Download]()
    for spec in _specs(session):
        wanted = repository(spec)
        if wanted is None or str(wanted) in downloads:
            continue
        if (download := hub.to_download(wanted)) is None:
            fetch(spec)
        else:
            downloads[str(wanted)] = download
    return list(downloads.values())


def _specs(session: Session) -> Iterator[Spec]:
    yield from session.specs or ()
    for model in session.models:
        yield from model.specs
    typed = session.settings.sources
    if session.served is not None and typed["served"] == "command line":
        yield session.served
    if session.settings.judge is not None and typed["judge"] == "command line":
        from pytest_llmdiff.engines.spec_checks import judge_spec

        yield judge_spec(session.settings)


def of_scorer(role: str, session: Session) -> hub.Download | None:
    """What is not here of a scorer from the hub. Where a package is missing, that is told first."""
    from pytest_llmdiff.scorers.opening import to_download
    from pytest_llmdiff.scorers.registry import kind_of

    settings = session.settings
    spec, folder = getattr(settings, role), settings.folder_of(role)
    wanted = to_download(role, spec, folder)
    kind = str(getattr(kind_of(role, spec), "__name__", "")).rpartition(".")[2]
    if not isinstance(wanted, hub.Repository) or missing_packages(kind):
        return None
    return hub.to_download(wanted)


def bring(
    downloads: Sequence[hub.Download], session: Session, *, instead: Mapping[str, str]
) -> None:
    """Download all of it. `instead` has, by repository, what would need no download.

    Raises:
        ConfigError: the disk has no room for all of it, or it broke off.
    """
    hub.require_room(downloads)
    reporter: Any = session.config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:
        for download in downloads:
            reporter.write_line(_announced(download, instead.get(download.repository.name)))
    progress = progress_for(session.config)
    megabytes = _Megabytes(progress, sum(each.size - each.begun for each in downloads))
    for download in downloads:
        hub.fetch(download, megabytes)
    progress.finish()


def _announced(download: hub.Download, instead: str | None) -> str:
    count = len(download.sizes)
    text = f"llmdiff: downloading {download.repository.name}: {count} file{'s' * (count > 1)}, "
    text += hub.size_text(download.size)
    if download.begun:
        text += f", of which {hub.size_text(download.begun)} are here from an earlier run"
    return text + (f"; {instead} needs no download" if instead else "")


class _Megabytes:
    """Tells a progress of whole megabytes. What comes at once is a window, so that the time left is
    known from the first on."""

    def __init__(self, progress: Any, size: int) -> None:
        self._progress = progress
        self._bytes = self._told = 0
        progress.expect(DOWNLOADED, lambda: -(-size // MEGABYTE))
        progress.start(DOWNLOADED, 0)

    def __call__(self, count: int) -> None:
        self._bytes += count
        if (done := self._bytes // MEGABYTE - self._told) > 0:
            self._told += done
            self._progress.advance(done)
            self._progress.finish()
            self._progress.start(DOWNLOADED, 0)
