"""`demo`: everything once, on sample data, in a home of its own with the embedded PostgreSQL."""

import logging
import mailbox
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default as mail_policy
from importlib.resources import files
from pathlib import Path
from typing import Final

from mentat_reporter import imports, run
from mentat_reporter.errors import UsageError
from mentat_reporter.result import RunResult, table
from mentat_reporter.settings import DatabaseSettings, Settings
from mentat_reporter.store.embedded import Cluster

# etc/sample/README.md says what is to be seen at each of them
RUNS: Final = tuple(datetime(2026, 3, day, tzinfo=UTC) for day in (3, 4, 8, 9, 10))
MARK: Final = "this folder is made anew by every mentat-reporter.py demo\n"
RELAPSED: Final = "Recurring problems"
"""The heading in mails of the shipped template."""
FACTS: Final = 12
PROBLEM: Final = 18
"""Lines shown of a mail's facts, and of its first recurring problem."""
COLUMNS: Final = ("events", "reported", "held", "relapsed", "filtered", "reports", "mails")


def sample_folder() -> Path:
    """Return the sample groups and events: inside the installed package, or beside it in a checkout."""
    package = Path(str(files("mentat_reporter")))
    return next(path for path in (package / "etc/sample", package.parent / "etc/sample") if path.is_dir())


def _fresh_home(home: Path) -> None:
    """Remove what the last demo left; a folder that no demo made is not touched."""
    mark = home / "DEMO"
    if home.exists() and any(home.iterdir()) and not mark.exists():
        raise UsageError(f"{home} is not a folder of the demo's; set MENTAT_REPORTER_HOME to another place")
    Cluster(home, durable=False).stop()
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(mode=0o755, parents=True)
    if os.geteuid() == 0:
        # the embedded server runs as another user, who must reach its folder
        home.parent.chmod(home.parent.stat().st_mode | 0o001)
    mark.write_text(MARK)


def demo_settings(settings: Settings, home: Path) -> Settings:
    """Return settings for the demo: nothing outside its home, mail into a maildir."""
    return replace(
        settings,
        home=home,
        database=DatabaseSettings(),
        mail=replace(settings.mail, transport="maildir", maildir=home / "maildir", dev_mode=False),
        reporter=replace(
            settings.reporter,
            reports_dir=home / "reports",
            lock_file=home / "mentat-reporter.lock",
            fallback=("soc@national.example",),
        ),
        run=replace(settings.run, regular=True, time_low=None, test_data=False, dry_run=False),
    )


@contextmanager
def _cluster(home: Path) -> Iterator[None]:
    cluster = Cluster(home, durable=False)
    cluster.start()
    try:
        yield
    finally:
        cluster.stop()


def run_demo(settings: Settings, logger: logging.Logger, echo: Callable[[str], None]) -> int:
    """Fill a fresh database with the sample, run regularly as of five days in March 2026, show what came."""
    home = settings.home / "demo"
    _fresh_home(home)
    own = demo_settings(settings, home)
    sample = sample_folder()
    echo(f"embedded PostgreSQL and everything else of this demo: {home}")
    with _cluster(home):
        for line in imports.initialise(own):
            echo(f"init: {line}")
        for result in (
            imports.import_groups(own, [str(sample / "groups.json")], replace=False),
            imports.import_events(own, [str(sample / "events.ndjson")]),
        ):
            for line in (*result.said, *result.faults):
                echo(f"import: {line}")
        results = [_run(own, logger, moment) for moment in RUNS]
    echo("")
    for line in _summary(results):
        echo(line)
    _where_to_look(own, echo)
    return max(result.exit_code for result in results)


def _run(settings: Settings, logger: logging.Logger, moment: datetime) -> RunResult:
    as_of = replace(settings, run=replace(settings.run, time_high=moment))
    return run.report(as_of, logger, lambda _text: None)


def _summary(results: list[RunResult]) -> list[str]:
    rows = [
        [f"{moment:%Y-%m-%d %H:%M} UTC", *(result.total(column) for column in COLUMNS)]
        for moment, result in zip(RUNS, results, strict=True)
    ]
    return table(("run as of", *COLUMNS), rows)


def _where_to_look(settings: Settings, echo: Callable[[str], None]) -> None:
    folder = mailbox.Maildir(settings.mail.maildir, create=False)
    mails = [_read(Path(settings.mail.maildir) / "new" / name) for name in sorted(folder.keys())]
    echo("")
    echo(f"Pages of all reports, for a browser: {settings.reporter.reports_dir / 'index.html'}")
    echo(f"{len(mails)} mails lie in {settings.mail.maildir}; mutt -f shows them. One tells of a relapse:")
    shown = next((mail for mail in mails if RELAPSED in _text(mail)), None)
    if shown is not None:
        echo("")
        for line in _excerpt(shown):
            echo(f"    {line}".rstrip())


def _read(path: Path) -> EmailMessage:
    with path.open("rb") as file:
        return BytesParser(policy=mail_policy).parse(file)


def _text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    return str(body.get_content()) if body is not None else ""


def _excerpt(mail: EmailMessage) -> list[str]:
    """Return whom a mail is for, its facts, and the beginning of what it tells again."""
    lines = _text(mail).splitlines()
    relapsed = lines.index(RELAPSED)
    head = [f"{name}: {mail[name]}" for name in ("To", "Subject")]
    return [*head, "", *lines[:FACTS], "  …", "", *lines[relapsed : relapsed + PROBLEM], "  …"]
