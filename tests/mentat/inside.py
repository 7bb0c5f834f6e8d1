"""What the tests ask of Mentat itself. Runs in the environment that has `mentat-ng`, not in the reporter's.

Called as `python inside.py TASK`; on stdin JSON with the core configuration (`config`) and the task's own
keys, on stdout the answer as JSON.
"""

# Neither mypy nor ruff runs where mentat-ng is installed.
# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, ANN202

import contextlib
import dataclasses
import datetime as dt
import json
import logging
import sys
import tempfile

from mentat.const import EVENT_SEVERITIES
from mentat.datatype import sqldb
from mentat.datatype.sqldb import EventReportModel, GroupModel, ReporterStateModel, UserModel
from mentat.idea.internal import Idea
from mentat.reports.aggregations import EventAggregator
from mentat.reports.data import ReportingProperties
from mentat.reports.event import EventReporter
from mentat.reports.utils import ReportingSettings, get_reporting_timings
from mentat.services import eventstorage, sqlstorage
from mentat.services.whois import SqldbWhoisModule
from mentat.stats import idea as stats
from ransack import get_values


def create_schema(config):
    """Make the tables, types and indexes of both databases."""
    sqlstorage.StorageServiceManager(config).service().database_create()
    events = eventstorage.EventStorageServiceManager(config).service()
    events.database_create()
    events.index_create()
    events.close()


def fill(config, rows):
    """Store rows as Mentat's web interface does: each names its model, and its group or parent by name.

    A basic filter gets its rule from Mentat's code.
    """
    from hawat.blueprints import filters  # noqa: PLC0415 - the web interface takes long to start

    session = sqlstorage.StorageServiceManager(config).service().session
    classes = session.query(sqldb.EventClassModel)
    filters.get_event_class = lambda name: classes.filter_by(name=name).one_or_none()
    for row in rows:
        model = getattr(sqldb, row.pop("model"))
        for role in ("group", "parent"):
            if role in row:
                row[role] = session.query(sqldb.GroupModel).filter_by(name=row[role]).one()
        made = model(**row)
        if model is sqldb.FilterModel:
            filters.process_rule(made)
            made.sources, made.targets = map(normal, (made.sources, made.targets))
            with contextlib.suppress(Exception):  # a rule that nobody can parse is stored all the same
                filters.fill_ip_aggr(made)
        session.add(made)
        session.commit()
    return [rule for (rule,) in session.query(sqldb.FilterModel.filter).order_by(sqldb.FilterModel.id)]


def normal(addresses):
    from hawat.forms import normalize_ip  # noqa: PLC0415 - as above

    return [normalize_ip(address) for address in addresses or []]


def store_events(config, messages):
    """Store IDEA messages as Mentat's storage daemon does; return how many."""
    events = eventstorage.EventStorageServiceManager(config).service()
    for message in messages:
        events.insert_event(Idea(message))
    events.close()
    return len(messages)


def set_threshold(config, key, label, at):
    """Set a threshold as Mentat's reporter does, for six days, with the relapse time of `low`."""
    told = dt.datetime.fromisoformat(at)
    day = dt.timedelta(days=1)
    events = eventstorage.EventStorageServiceManager(config).service()
    events.threshold_set(key, told, told + 4 * day, told + 6 * day, label)
    events.close()


def store_what_fits(config, messages):
    """Store messages as above; return the ids of those that Mentat's own types refuse, and why."""
    events = eventstorage.EventStorageServiceManager(config).service()
    refused = {}
    for message in messages:
        try:
            events.insert_event(Idea(message))
        except (KeyError, TypeError, ValueError, eventstorage.DataError) as error:
            refused[message["ID"]] = repr(error)
    events.close()
    return refused


def load_reports(config):
    """Load every stored report by the model; return what the model and its data classes make of each."""
    session = sqlstorage.StorageServiceManager(config).service().session
    return [
        {
            **report.to_dict_short(),
            "to_dict": report.to_dict(),
            "groups": sorted(group.name for group in report.groups),
            "parent": report.parent and report.parent.label,
            "children": sorted(child.label for child in report.children),
            "is_old_type": report.is_old_type(),
            "statistics": report.statistics,
            "filtering": report.filtering,
            "mail_to": report.mail_to,
            "structured_data": dataclasses.asdict(report.get_structured_data_as_dataclass()),
            "stored": report.structured_data,
        }
        for report in session.query(EventReportModel).order_by(EventReportModel.id)
    ]


def report(config, hi):
    """Do a regular run of Mentat's own reporter whose windows end at `hi`, mail and its templates left out.

    The loop over severities is that of its command; it moves `state_reporter` and cleans thresholds.
    """
    sqlstorage.init(config)
    eventstorage.init(config)
    storage = sqlstorage.service()
    events = eventstorage.service()
    end = dt.datetime.fromisoformat(hi)
    groups = {group.name: group for group in storage.session.query(GroupModel).order_by(GroupModel.name)}
    settings = {
        name: ReportingSettings(group, storage, default_locale="en", default_timezone="UTC")
        for name, group in groups.items()
    }
    whois = SqldbWhoisModule()
    whois.setup()
    with tempfile.TemporaryDirectory() as templates:
        reporter = EventReporter(
            logging.getLogger("mentat"),
            templates,
            [],
            "en",
            "UTC",
            events,
            storage,
            None,
            groups,
            settings,
            whois,
        )
        reporter._mail_report = lambda *_args, **_keys: None
        for severity in EVENT_SEVERITIES:
            known = storage.session.query(ReporterStateModel).filter_by(severity=severity).one_or_none()
            period = get_reporting_timings()[severity]["per"]
            lo = known.last_successful_run if known else end - period
            if lo + period > end:
                continue
            known = known or ReporterStateModel(severity=severity)
            for group in groups.values():
                reporter.report(ReportingProperties(group, severity, lo, end, {}, False))
            known.last_successful_run = end
            storage.session.add(known)
            storage.session.commit()
        reporter.cleanup(end)


def retell(config):
    """Tell each stored report by Mentat's own code: its figures, and its lines as if all were new."""
    session = sqlstorage.StorageServiceManager(config).service().session
    events = eventstorage.EventStorageServiceManager(config).service()
    found = {report.label: _retold(report, events) for report in session.query(EventReportModel)}
    events.close()
    return found


def _retold(report, events):
    told = [events.fetch_event(event_id) for event_id in report.statistics["list_ids"]]
    is_target = report.type == "target"
    lines = report.get_structured_data_as_dataclass()
    if is_target:
        by_address = {
            address: told
            for line in (*lines.regular.values(), *lines.relapsed.values())
            for detector in line.detector_data.values()
            for address in detector.target_list_data.relevant_ips
        }
        again = EventAggregator.aggregate_target(by_address)
    else:
        addresses = {
            address for part in (lines.regular, lines.relapsed) for line in part.values() for address in line
        }
        by_address = {
            address: [event for event in told if address in map(str, get_values(event, "Source.IP4"))]
            for address in addresses
        }
        again = EventAggregator.aggregate_source(by_address)
    return {
        "statistics": stats.truncate_evaluations(stats.evaluate_events(told, is_target)),
        "lines": {name: _plain(line) for name, line in again.items()},
    }


def _plain(line):
    if isinstance(line, dict):
        return {address: dataclasses.asdict(of_address) for address, of_address in line.items()}
    return dataclasses.asdict(line)


def add_user(config, login):
    """Add a user who may see everything."""
    session = sqlstorage.StorageServiceManager(config).service().session
    roles = ["user", "power", "admin", "developer"]
    facts = {"fullname": login, "email": f"{login}@mentat.example", "organization": "Tests", "enabled": True}
    session.add(UserModel(login=login, roles=roles, **facts))
    session.commit()


def browse(config, folder, login, paths):
    """Ask Mentat's web interface for pages as that user; return of each its status and text."""
    import web  # noqa: PLC0415 - the web interface takes long to start

    events = eventstorage.EventStorageServiceManager(config).service()
    for column in ("category", "node_name", "eventclass", "targetclass"):
        events.distinct_values(column)  # as the module does that gathers what search forms offer
    events.close()
    return web.browse(config, folder, login, paths)


def dashboard(config):
    """Return what the reporting dashboard makes of all reports."""
    session = sqlstorage.StorageServiceManager(config).service().session
    reports = session.query(EventReportModel).all()
    times = [report.createtime for report in reports]
    day = dt.timedelta(days=1)
    found = stats.aggregate_stats_reports(reports, min(times) - day, max(times) + day)
    return {name: value for name, value in found.items() if isinstance(value, int | dict)}


def written(value):
    """Return what JSON does not know as reports are stored: sets as lists in order, times in ISO."""
    if isinstance(value, set):
        return sorted(value)
    return value.isoformat() if isinstance(value, dt.datetime) else str(value)


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    answer = globals()[sys.argv[1]](**asked)
    json.dump(answer, sys.stdout, default=written)
