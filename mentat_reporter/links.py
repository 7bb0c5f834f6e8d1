"""The two connections of a run: the main database's at once, the events database's when it is needed."""

import os

from mentat_reporter.errors import StoreError
from mentat_reporter.outside import Outside
from mentat_reporter.settings import Settings
from mentat_reporter.store import embedded, schema
from mentat_reporter.store.connection import EVENT_READS, STATE_LIMITS, Connection, Dsn, is_lost


def databases(settings: Settings) -> tuple[Dsn, Dsn]:
    """Return how to reach the main and the events database; starts the embedded one if none is configured.

    What only looks makes none: raises StoreError where there is none yet.
    """
    main = settings.database.main
    if main is None:
        cluster = embedded.Cluster(settings.home)
        if settings.run.dry_run and not os.path.exists(cluster.data):  # noqa: PTH110 - never raises
            raise StoreError(
                f"no database is configured, and there is no embedded one in {cluster.folder} yet: "
                "run `mentat-reporter.py init`, or set __core__database"
            )
        main = cluster.start()
    return main, settings.database.events or main


class Links:
    """Connects to the main database; raises StoreError when it cannot be had or lacks tables."""

    def __init__(self, settings: Settings, outside: Outside) -> None:
        main, self._events_dsn = databases(settings)
        self._outside = outside
        self._writes = not settings.run.dry_run
        self._events: Connection | None = None
        self.main: Connection = outside.connect(main, what="main", limits=STATE_LIMITS)

    def check(self) -> None:
        """Raise StoreError unless the main database has what a run needs."""
        schema.require_main(self.main, writes=self._writes)

    @property
    def events(self) -> Connection:
        """Delivery does without it. Raises StoreError as the main one does."""
        if self._events is None:
            # known before it is asked anything: if it is lost at that, it is lost like any other
            self._events = self._outside.connect(self._events_dsn, what="events", limits=EVENT_READS)
            schema.require_events(self._events)
        return self._events

    @property
    def has_events(self) -> bool:
        return self._events is not None

    @property
    def are_cut(self) -> bool:
        """Ask whether one of them is gone; nothing may be under way on them."""
        return is_lost(self.main) or (self._events is not None and is_lost(self._events))

    def close(self) -> None:
        self.main.close()
        if self._events is not None:
            self._events.close()
