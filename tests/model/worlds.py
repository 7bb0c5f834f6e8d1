"""Random worlds: groups, rules, events and the times of ten runs, all from one seed."""

from __future__ import annotations

import copy
import ipaddress
import random
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from model.oracle import SEVERITIES, StoredEvent

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MICROSECOND = timedelta(microseconds=1)
GAPS = (10, 10, 20, 35, 60, 130, 247, 720, 1440, 1440, 1447, 2000, 2880, 4320, 5760)  # minutes
NETWORKS = (
    "10.1.0.0/16",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "10.1.2.0/24",
    "10.1.2.0/25",
    "10.1.2.128/25",
    "10.1.2.64-10.1.2.191",
    "10.1.2.32-10.1.2.95",
    "10.1.2.16/28",
    "10.1.2.20",
    "10.1.2.130",
    "10.1.3.0/24",
    "10.1.3.0-10.1.3.9",
    "10.1.4.0/22",
    "10.2.0.0/16",
    "10.2.0.0-10.2.1.255",
    "10.2.1.0/24",
    "10.2.1.7",
    "198.51.100.0/24",
    "198.51.100.128/25",
    "2001:db8::/32",
    "2001:db8:1::/48",
    "2001:db8:1::/48",
    "2001:db8:1:2::/64",
    "2001:db8:1::-2001:db8:1:1:ffff:ffff:ffff:ffff",
    "2001:db8:1:2::7",
)
ADDED = ("10.1.2.0/26", "10.1.2.0-10.1.2.99", "10.1.0.0/20", "10.2.0.0/17", "2001:db8:1::/44")
SINGLES = (
    "10.1.2.5",
    "10.1.2.20",
    "10.1.2.33",
    "10.1.2.77",
    "10.1.2.130",
    "10.1.3.4",
    "10.1.5.200",
    "10.2.1.7",
    "10.2.0.99",
    "198.51.100.9",
    "198.51.100.200",
    "203.0.113.77",
    "2001:db8:1:2::7",
    "2001:DB8:0001:2:0::9",
    "2001:db8:1::1",
    "2001:db8:9::1",
    "2001:db9::1",
)
BLOCKS = (
    "10.1.2.0/24",
    "10.1.2.0/23",
    "10.1.2.16/29",
    "10.1.2.21/28",
    "10.1.3.0/30",
    "10.0.0.0/14",
    "198.51.100.0/23",
    "203.0.113.0/24",
    "2001:db8:1::/47",
    "2001:db8:1:2::/96",
)
RANGES = (
    "10.1.2.60-10.1.2.70",
    "10.1.2.140-10.1.2.120",
    "10.1.1.250-10.1.3.5",
    "10.1.2.15-10.1.2.16",
    "10.2.0.0-10.2.0.255",
    "10.1.2.0-10.1.2.63",
    "10.1.3.0-10.1.3.15",
    "10.2.255.0-10.3.0.255",
    "198.51.100.127-198.51.100.128",
    "2001:db8:1:1::-2001:db8:1:2::ff",
    "2001:db8:2::9-2001:db8:1:2::7",
)
CATEGORIES = (
    ["Recon.Scanning"],
    ["Recon.Scanning"],
    ["Attempt.Login"],
    ["Malware"],
    ["Attempt.Login", "Recon.Scanning"],
)
CLASSES = ("scan", "scan", "login", "malware", None)
DETECTORS = tuple(f"org.example.{name}" for name in ("sure", "fair", "half", "poor", "new"))
CREDIBILITY = (1.0, 0.75, 0.5, 0.25)
PORTS = (22, 23, 80, 443)
RULES = (
    "Source.IP4 in 10.1.2.0/26",
    "10.1.2.130 in Source.IP4",
    "Source.IP4 = 10.1.2.0/25",
    "Source.IP4 in [10.2.1.7, 10.1.3.0/24]",
    "Source.IP4 in 10.1.2.60..10.1.2.99",
    "Source.IP6 in 2001:db8:1:2::/64",
    "Source.IP6??",
    "'Malware' in Category",
    "Category == ['Attempt.Login']",
    "Category contains 'Login'",
    "_Mentat.EventClass == 'login'",
    "'ssh' in _Mentat.EventSubclass",
    "22 in Source.Port",
    "(Source.Port ?? 0) = 23",
    "Target.Port = 443 or Source.Port = 443",
    "Target.Port = 80 and 'Recon.Scanning' in Category",
    "Target.IP4 in 203.0.113.0/24 and not 'Malware' in Category",
    "Target.IP6??",
    "Node.Name = 'org.example.new'",
    "DetectTime > 2026-03-07T00:00:00Z and 'scan' == _Mentat.EventClass",
    "_Mentat.StorageTime < 2026-03-05 12:00:00",
    "ConnCount > 90",
    "len(Source.IP4) > 3",
    "Nothing.Here = 1",
    "Category > 5",
    "Source.IP4 in",
    "'unfinished in Category",
    "((",
    "frobnicate(Category)",
)
TARGET_RULES = (
    "Target.IP4 in 10.1.2.0/25",
    "Target.IP6 = 2001:db8:1::/48",
    "_Mentat.TargetClass == 'attacked'",
    "22 in Target.Port",
    "Source.IP4 in 10.2.0.0/16",
    "'Malware' in Category",
    "Target.IP4 > 'x'",
    "Target.",
)


@dataclass(frozen=True)
class World:
    groups_document: dict[str, Any]
    fallback: tuple[str, ...]
    default_mode: str
    events: list[StoredEvent]
    run_times: list[datetime]
    import_at_once: bool
    changes: dict[int, dict[str, Any]]  # documents imported anew before the run of that number


def world(seed: int) -> World:
    rng = random.Random(seed)  # noqa: S311 - worlds are to be repeated, not to be secret
    run_times = make_run_times(rng)
    names = [f"abuse@g{number:02}.example.org" for number in range(rng.randint(6, 15))]
    document = make_document(rng, names, run_times)
    return World(
        document,
        rng.choice(((), ("fallback@example.net",), ("fallback@example.net", "csirt@example.net"))),
        rng.choice(("summary", "summary", "extra", "both")),
        make_events(rng, names, run_times),
        run_times,
        import_at_once=seed % 2 == 1,
        changes={rng.randint(3, 8): make_change(rng, document)} if seed % 3 != 1 else {},
    )


def make_run_times(rng: random.Random) -> list[datetime]:
    now = BEGIN + rng.randrange(0, 1440) * MINUTE
    if rng.random() < 0.5:
        now = BEGIN + rng.randrange(0, 144) * 10 * MINUTE
    times = [now]
    for _ in range(9):
        now += rng.choice(GAPS) * MINUTE
        if rng.random() < 0.3:
            now += timedelta(seconds=rng.randrange(0, 600), microseconds=rng.randrange(0, 1_000_000))
        times.append(now)
    return times


# --- groups ---------------------------------------------------------------------------------------


def make_document(rng: random.Random, names: list[str], run_times: list[datetime]) -> dict[str, Any]:
    pool = list(NETWORKS)
    rng.shuffle(pool)
    groups = [make_group(rng, name, run_times) for name in names]
    for network in pool[: rng.randint(14, len(pool))]:
        taken = rng.choice(groups)["networks"]
        if network not in [row["network"] for row in taken]:
            taken.append(make_network(rng, network))
    return {
        "groups": groups,
        "filters": make_rules(rng, rng.randint(0, 2), run_times),
        "detectors": [
            {"name": name, "credibility": value} for name, value in zip(DETECTORS, CREDIBILITY, strict=False)
        ],
        "event_classes": [{"name": "never", "rule": "", "label": {"en": "Never", "cs": "Nikdy"}}],
    }


def make_change(rng: random.Random, document: dict[str, Any]) -> dict[str, Any]:
    """Change what a re-import may: credibilities, a group switched on or off, networks added."""
    changed = copy.deepcopy(document)
    for detector in changed["detectors"]:
        detector["credibility"] = rng.choice((0.25, 0.25, 1.0))
    switched = rng.choice(changed["groups"])
    switched["enabled"] = not switched["enabled"]
    taken = {row["network"] for group in changed["groups"] for row in group["networks"]}
    for network in rng.sample([*ADDED, *SINGLES], rng.randint(2, 6)):
        if network not in taken:
            rng.choice(changed["groups"])["networks"].append(make_network(rng, network))
    return changed


def make_network(rng: random.Random, network: str) -> dict[str, Any]:
    return {
        "network": network,
        "netname": f"NET-{rng.randrange(10_000)}",
        "rank": rng.choice((None, None, None, None, 0, 1, 5)),
        "is_base": rng.random() < 0.2,
    }


def make_group(rng: random.Random, name: str, run_times: list[datetime]) -> dict[str, Any]:
    group: dict[str, Any] = {
        "name": name,
        "description": f"The group {name}",
        "enabled": rng.random() < 0.9,
        "networks": [],
        "filters": make_rules(rng, rng.choice((0, 0, 1, 2, 3)), run_times),
    }
    if rng.random() < 0.85:
        group["settings"] = make_settings(rng, name.partition("@")[2])
    return group


def make_settings(rng: random.Random, domain: str) -> dict[str, Any]:
    people = [f"{local}@{domain}" for local in ("abuse", "csirt", "noc")] + ["shared@example.net"]
    emails = {
        severity: rng.sample(people, rng.choice((1, 1, 2, 3)))
        for severity in SEVERITIES
        if rng.random() < 0.4
    }
    settings: dict[str, Any] = {"emails": emails}
    if rng.random() < 0.9:
        settings["mode"] = rng.choice(("summary", "extra", "both", "both", "none"))
    if rng.random() < 0.15:
        settings["mute"] = True
    if rng.random() < 0.15:
        settings["redirect"] = True
    if rng.random() < 0.5:
        settings |= {"locale": rng.choice(("en", "cs")), "timezone": rng.choice(("UTC", "Europe/Prague"))}
    if rng.random() < 0.45:
        settings["timing"] = make_timing(rng)
    return settings


def make_timing(rng: random.Random) -> dict[str, dict[str, str]]:
    choices = {
        "period": ("20mins", "1hr", "6hrs", "1day", "2days", "3days"),
        "threshold": ("none", "6hrs", "1day", "2days", "4days", "1week"),
        "relapse": ("none", "3hrs", "12hrs", "1day", "3days"),
    }
    chances = {"period": 0.5, "threshold": 0.7, "relapse": 0.6}
    return {
        severity: {name: rng.choice(choices[name]) for name in choices if rng.random() < chances[name]}
        for severity in SEVERITIES
        if rng.random() < 0.5
    }


def make_rules(rng: random.Random, number: int, run_times: list[datetime]) -> list[dict[str, Any]]:
    return [make_rule(rng, f"rule {index}", run_times) for index in range(number)]


def make_rule(rng: random.Random, name: str, run_times: list[datetime]) -> dict[str, Any]:
    source_based = rng.random() < 0.75
    rule: dict[str, Any] = {
        "name": name,
        "filter": rng.choice(RULES if source_based else TARGET_RULES),
        "source_based": source_based,
        "enabled": rng.random() < 0.9,
    }
    if rng.random() < 0.2:
        rule["valid_from"] = between(rng, run_times)
    if rng.random() < 0.2:
        rule["valid_to"] = between(rng, run_times)
    return rule


def between(rng: random.Random, run_times: list[datetime]) -> str:
    """Pick a moment that is no run's own."""
    moment = rng.choice(run_times) + rng.choice((-3, 3)) * MINUTE + timedelta(seconds=1)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# --- events ---------------------------------------------------------------------------------------


def make_events(rng: random.Random, names: list[str], run_times: list[datetime]) -> list[StoredEvent]:
    problems = [make_problem(rng, names) for _ in range(rng.randint(6, 14))]
    events = []
    for _ in range(rng.randint(60, 300)):
        problem = rng.choice(problems) if rng.random() < 0.75 else make_problem(rng, names)
        events.append(make_event(rng, problem, storage_time(rng, run_times)))
    return events


def storage_time(rng: random.Random, run_times: list[datetime]) -> datetime:
    """Anywhere, or exactly on an edge of a window, or a microsecond beside it."""
    first, last = run_times[0] - timedelta(days=3), run_times[-1]
    if rng.random() < 0.3:
        run = rng.choice(run_times)
        edge = run - (run - BEGIN) % (10 * MINUTE)
        edge += rng.choice((0, 0, 0, -10, -120, -1440)) * MINUTE
        return edge + rng.choice((0, 0, 1, -1)) * MICROSECOND
    if rng.random() < 0.3:
        return rng.choice(run_times) - timedelta(seconds=rng.randrange(1, 7200))
    return first + timedelta(seconds=rng.randrange(0, int((last - first).total_seconds())))


def make_problem(rng: random.Random, names: list[str]) -> dict[str, Any]:
    """Make what repeats: who, what, how bad; everything of an event but its ID and times."""
    categories = list(rng.choice(CATEGORIES))
    if rng.random() < 0.04:
        categories.append("Test")
    detectors = rng.sample(DETECTORS, rng.choice((1, 1, 1, 2)))
    problem: dict[str, Any] = {
        "Format": "IDEA0",
        "Category": categories,
        "Node": [{"Name": name, "SW": ["Sensor"], "Type": ["Flow"]} for name in detectors],
        "_Mentat": make_mentat(rng, names),
    }
    if rng.random() < 0.9:
        problem["Source"] = make_sections(rng)
    if rng.random() < 0.6:
        problem["Target"] = make_sections(rng)
    if rng.random() < 0.5:
        problem["ConnCount"] = rng.randrange(1, 100)
    return problem


def make_mentat(rng: random.Random, names: list[str]) -> dict[str, Any]:
    severities = ("info", "low", "low", "medium", "medium", "high", "high", "critical")
    attacked = rng.random() < 0.5
    name = rng.choice(CLASSES)
    return {
        "EventClass": name,
        "EventSubclass": rng.choice(([], [], ["ssh"], ["ssh", "telnet"])) if name else [],
        "EventSeverity": rng.choice(severities),
        "ResolvedAbuses": [rng.choice(names)] if rng.random() < 0.93 else [],
        "TargetClass": rng.choice(("attacked", "flooded", None)) if attacked else None,
        "TargetSubclass": [],
        "TargetSeverity": rng.choice(severities) if attacked else None,
        "TargetAbuses": [rng.choice(names)] if attacked else [],
        "ShadowReporting": rng.random() < 0.08,
        "ShadowReportingTarget": rng.random() < 0.08,
    }


def make_sections(rng: random.Random) -> list[dict[str, Any]]:
    return [make_section(rng) for _ in range(rng.choice((1, 1, 1, 2, 3)))]


def make_section(rng: random.Random) -> dict[str, Any]:
    section: dict[str, Any] = {}
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        address = rng.choice(rng.choice((SINGLES, SINGLES, SINGLES, SINGLES, BLOCKS, RANGES)))
        if rng.random() < 0.1:
            address = str(ipaddress.ip_address("10.1.2.0") + rng.randrange(0, 512))
        section.setdefault("IP6" if ":" in address else "IP4", []).append(address)
    if rng.random() < 0.5:
        section["Port"] = rng.sample(PORTS, rng.choice((1, 1, 2)))
    if rng.random() < 0.3:
        section["Proto"] = ["tcp"]
    return section


def make_event(rng: random.Random, problem: dict[str, Any], stored: datetime) -> StoredEvent:
    name = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    detected = stored - timedelta(seconds=rng.randrange(1, 600))
    message = problem | {
        "ID": name,
        "DetectTime": written(detected),
        "_Mentat": problem["_Mentat"] | {"StorageTime": written(stored)},
    }
    if rng.random() < 0.4:
        message["EventTime"] = written(detected - timedelta(seconds=rng.randrange(1, 600)))
        message["CeaseTime"] = written(detected)
    return StoredEvent(name, stored, message)


def written(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
