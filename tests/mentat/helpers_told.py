"""Reports of every kind, in an installation of Mentat."""

from datetime import datetime
from typing import Any

import pytest
from integration.helpers_run import ALICE, BOB, CAROL, DAY, HOUR, START, Row, group
from mentat.helpers_world import MentatReporter, message

DAVE = "abuse@dave.example"
AT = START - HOUR
DAYS = 9
RICH: Row = {
    "Category": ["Attempt.Login", "Recon.Scanning"],
    "Description": "tries 'passwords' <at> random",
    "Ref": ["cve:CVE-2020-0001", "https://example.org/"],
    "TLP": "GREEN",
    "Credentials": [{"Username": "root", "Password": "toor"}, {"Username": "pi"}],
    "ConnCount": 7,
    "FlowCount": 12,
    "PacketCount": 90,
    "ByteCount": 81_000,
    "AvgPacketSize": 900,
    "Attach": [{"FileName": ["a.exe"], "Type": ["Malware"]}],
}
SERVER: Row = {
    "Port": [22, 2222],
    "Proto": ["tcp", "ssh"],
    "Hostname": ["host.alice.example"],
    "MAC": ["40:b0:34:c1:2a:01"],
    "ServiceName": "OpenSSH",
    "ServiceVersion": "9.2",
    "InFlowCount": 5,
    "OutByteCount": 17,
    "ClockSkew": -3,
}


def rich(event_id: str, at: datetime, address: str = "192.0.2.1", **enriched: Any) -> Row:
    """Return a message with all that a row keeps of one."""
    sections = {
        "Source": [{"IP4": [address], **SERVER}],
        "Target": [{"IP4": ["198.51.100.77"], "Port": [443]}],
    }
    mentat = {
        "EventClass": "attempt-login",
        "EventSubclass": ["ssh"],
        "SourceResolvedCountry": ["CZ"],
        **enriched,
    }
    return message(event_id, at, mentat=mentat, **{**RICH, **sections})


def attacked(event_id: str, at: datetime, *targets: str) -> Row:
    mentat = {"TargetClass": "attacked", "TargetSeverity": "low", "TargetAbuses": [ALICE]}
    return message(event_id, at, "8.8.8.8", targets=targets, severity=None, mentat=mentat)


def day(number: int) -> list[Row]:
    """Return what happens on one day: much the same each time, some of it on the first and the last alone."""
    at = AT + number * DAY
    found = [
        rich(f"rich-{number}", at),
        message(f"six-{number}", at, "2001:db8:1::7", "2001:db8:1::9", severity="medium"),
        message(f"bob-{number}", at, "198.51.100.1", "198.51.100.2"),
        message(f"new-{number}", at, f"203.0.113.{number}", severity="high"),
        message(f"filtered-{number}", at, "192.0.2.66", "192.0.2.200"),
    ]
    if number in {0, DAYS - 1}:
        found += [
            attacked(f"target-{number}", at, "192.0.2.5", "203.0.113.5"),
            message(f"shadow-{number}", at, mentat={"ShadowReporting": True}),
            message(
                f"range-{number}", at, "203.0.113.64/28", "192.0.2.250-198.51.100.3", severity="critical"
            ),
            message(f"nothing-{number}", at, "192.0.2.9", severity="info", mentat={"EventClass": None}),
        ]
    return found


@pytest.fixture
def told(beside: MentatReporter) -> MentatReporter:
    """Give a reporter that has stored reports of every kind, in several windows."""
    rules = [{"name": "scanners", "filter": "Source.IP4 = 192.0.2.66"}]
    beside.groups(
        group(ALICE, "192.0.2.0/24", filters=rules),
        group(DAVE, "192.0.2.0/25", "2001:db8:1::/48", timezone="Europe/Prague", locale="cs"),
        group(BOB, "198.51.100.0/24", mode="extra", emails={"info": [BOB], "low": ["noc@bob.example"]}),
        group(CAROL, "203.0.113.0-203.0.113.99", mode="both", redirect=True),
    )
    beside.store_messages(
        *(found for number in range(DAYS) for found in day(number)),
        message("test", AT, "192.0.2.200", Category=["Recon.Scanning", "Test"]),
    )
    for number in range(DAYS):
        assert beside.run(START + number * DAY).failures == []
    assert beside.ad_hoc(AT - HOUR, START, test_data=True).failures == []
    return beside
