"""XARF v4 documents of extra reports (docs/reports.md#xarf), checked by XARF's own schemas."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from factories import HI, LO, entry, report
from hypothesis import given
from hypothesis import strategies as st
from xarf.schema_validator import SchemaValidator

from mentat_reporter.core.idea import clean
from mentat_reporter.render.xarf import Document, documents, sender_of, without
from mentat_reporter.render.xarf_types import SHAPES, TYPES, Sample, sample

AT = LO + timedelta(hours=6)
SENDER = sender_of("CERT of Example <reports@cert.example.org>", "mail.example.org")
OWN = {"IP4": ["192.0.2.15"], "Port": [40000], "Proto": ["tcp"]}
TARGET = {"IP4": ["198.51.100.0/24", "198.51.100.7"], "Port": [22], "Proto": ["ssh"]}
FULL = {
    **OWN,
    "URL": ["https://shop.example/a b?x=<1>"],
    "Email": ["spam@bad.example"],
    "ServiceName": ["OpenSSH"],
    "Proto": ["smtp"],
}
HARMLESS = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 70000) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
KEYS = ("IP4", "Port", "Proto", "URL", "Email", "ServiceName", "Hostname")
VALIDATOR = SchemaValidator()


def faults(document: Mapping[str, Any]) -> list[str]:
    """Return what XARF's schemas find wrong, once as its library asks them, once with formats checked too."""
    found = [f"{error.field}: {error.message}" for error in VALIDATOR.validate(dict(document))]
    VALIDATOR._ensure_schemas_loaded()
    assert VALIDATOR._normal_validator is not None
    strict = VALIDATOR._normal_validator.evolve(format_checker=VALIDATOR._normal_validator.FORMAT_CHECKER)
    return [*found, *(str(error.message) for error in strict.iter_errors(document))]


def message(category: str = "Recon.Scanning", own: Any = OWN, target: Any = TARGET, **more: Any) -> Any:
    return clean({
        "Category": [category], "Source": [own], "Target": [target], "Node": [{"Name": "det.one"}], **more,
    })  # fmt: skip


def sampled(
    category: str = "Recon.Scanning", own: Any = OWN, own_type: str = "", **more: Any
) -> Sample | None:
    return sample(own_type, message(category, own, **more), [clean(own)], AT)


def written(samples: Mapping[str, Sample | None], **changes: Any) -> list[Document]:
    told = report("extra", regular=[entry(event_class=name) for name in samples], **changes)
    return documents(told, {name: found for name, found in samples.items() if found}, SENDER)


def only(found: Sample | None) -> dict[str, Any]:
    """Return the one document that a sample makes, which must be as XARF asks."""
    [document] = written({"scan": found})
    whole: dict[str, Any] = json.loads(document.content)
    assert faults(whole) == []
    return whole


def test_a_scan_is_told_with_all_that_identifies_it() -> None:
    identifier = UUID(only(sampled())["report_id"])

    assert only(sampled()) == {
        "xarf_version": "4.2.0",
        "report_id": str(identifier),
        "timestamp": "2026-01-12T06:00:00Z",
        "reporter": {
            "org": "CERT of Example", "contact": "reports@cert.example.org", "domain": "cert.example.org",
        },
        "sender": {
            "org": "CERT of Example", "contact": "reports@cert.example.org", "domain": "cert.example.org",
        },
        "source_identifier": "192.0.2.15",
        "category": "connection",
        "type": "port_scan",
        "source_port": 40000,
        "destination_ip": "198.51.100.7",
        "destination_port": 22,
        "protocol": "tcp",
        "first_seen": "2026-01-12T06:14:34Z",
        "last_seen": "2026-01-12T06:41:02Z",
        "description": "scan: 1 event, told in report M20260113EL-7QK2F9XA",
        "event_count": 1,
    }  # fmt: skip
    assert identifier.version == 4


@pytest.mark.parametrize(
    ("category", "expected"),
    [
        ("Recon.Scanning", "connection/port_scan"),
        ("Attempt.Login", "connection/login_attack"),
        ("Attempt.Exploit", "connection/vulnerability_scan"),
        ("Availability.DDoS", "connection/ddos"),
        ("Availability.DoS", "connection/ddos"),
        ("Intrusion.Botnet", "infrastructure/botnet"),
        ("Intrusion.AppCompromise", "infrastructure/compromised_server"),
        ("Malware.Ransomware", "content/malware"),
        ("Abusive.Spam", "messaging/spam"),
        ("Fraud.Phishing", "content/phishing"),
        ("Fraud.Scam", "content/fraud"),
        ("Fraud.Copyright", "copyright/copyright"),
        ("Vulnerable.Open", "vulnerability/open_service"),
        ("Vulnerable.Config", "vulnerability/misconfiguration"),
    ],
)
def test_a_category_has_its_type(category: str, expected: str) -> None:
    found = only(sampled(category, FULL))

    assert f"{found['category']}/{found['type']}" == expected


@pytest.mark.parametrize(
    "category", ["Anomaly.Traffic", "Recon", "Recon.ScanningX", "Other", "", "Abusive.Child"]
)
def test_a_category_that_xarf_has_no_type_for_makes_no_document(category: str) -> None:
    assert sampled(category, FULL) is None


@pytest.mark.parametrize("name", SHAPES)
def test_every_type_is_as_its_schema_asks(name: str) -> None:
    found = only(sampled("Other", FULL, own_type=name))

    assert f"{found['category']}/{found['type']}" == name


def test_every_type_of_a_category_is_one_that_documents_are_made_of() -> None:
    assert {name for types in TYPES.values() for name in types} <= SHAPES.keys()


def test_a_class_may_name_its_own_type() -> None:
    assert only(sampled("Anomaly.Traffic", own_type="connection/ddos"))["type"] == "ddos"
    assert sampled("Recon.Scanning", own_type="connection/nonsense") is None


def test_a_scan_without_a_source_port_is_told_as_a_scan_for_weaknesses_of_the_kind_port_scan() -> None:
    found = only(sampled(own={"IP4": ["192.0.2.15"], "Proto": ["udp", "tcp"]}, target={"Port": [53]}))

    assert (found["type"], found["scan_type"], found["protocol"]) == (
        "vulnerability_scan",
        "port_scan",
        "mixed",
    )
    assert found["targeted_ports"] == [53]


@pytest.mark.parametrize(
    ("category", "own"),
    [
        ("Recon.Scanning", {"Port": [1]}),
        ("Attempt.Login", {"Proto": ["tcp"]}),
        ("Attempt.Login", {"Proto": ["tcp"], "Port": [0, 65536, -1, "x", "²"]}),
        ("Abusive.Spam", {"Proto": ["smtp"], "Port": [25]}),
        ("Abusive.Spam", {"Proto": ["smtp"], "Port": [25], "Email": ["nobody"]}),
        ("Fraud.Phishing", {"Hostname": ["a.example"]}),
        ("Fraud.Phishing", {"URL": ["no address"]}),
        ("Vulnerable.Open", {"Proto": ["udp"]}),
    ],
)
def test_what_a_type_requires_is_not_made_up(category: str, own: Any) -> None:
    assert sampled(category, own, target={}) is None


def test_a_url_is_written_as_one_whatever_stands_in_it() -> None:
    assert only(sampled("Fraud.Phishing", FULL))["url"] == "https://shop.example/a%20b?x=%3C1%3E"


def test_events_of_all_lines_of_a_class_are_counted_together() -> None:
    new = entry(hours={AT: 3})
    old = entry(hours={LO - timedelta(days=2): 2}, reference="M20260110EL-OLD")
    told = report("extra", regular=[new], relapsed=[old])

    [document] = documents(told, {"recon-scanning": sampled() or pytest.fail("no sample")}, SENDER)

    found = json.loads(document.content)
    assert found["event_count"] == 5
    assert (found["first_seen"], found["last_seen"]) == ("2026-01-10T00:14:34Z", "2026-01-12T06:41:02Z")


def test_classes_without_a_document_are_named() -> None:
    told = report("extra", regular=[entry(), entry(event_class="odd/é")])

    found = documents(told, {"recon-scanning": sampled() or pytest.fail("no sample")}, SENDER)

    assert without(told, found) == ("odd/é",)


def test_names_are_fit_for_files_and_differ() -> None:
    found = written(dict.fromkeys(["a/b, c", "a-b- c", "A b c", "../..", "x" * 300, "řeka"], sampled()))

    assert [document.ending for document in found] == [
        "-class.xarf.json", "-A-b-c.xarf.json", "-a-b-c-2.xarf.json", "-a-b-c-3.xarf.json",
        f"-{'x' * 60}.xarf.json", "-eka.xarf.json",
    ]  # fmt: skip


def test_the_same_report_makes_the_same_bytes_and_each_class_its_own_id() -> None:
    first, again = (written({"a": sampled(), "b": sampled()}) for _ in range(2))

    assert first == again
    assert len({json.loads(document.content)["report_id"] for document in first}) == 2
    other = written({"a": sampled()}, label="M20260113EL-OTHERONE")
    assert json.loads(other[0].content)["report_id"] != json.loads(first[0].content)["report_id"]


def test_a_network_can_be_the_source() -> None:
    [document] = written({"scan": sampled()}, address="192.0.2.0/24")

    assert faults(json.loads(document.content)) == []


def test_who_has_no_name_goes_by_the_domain() -> None:
    assert sender_of("reports@cert.example.org", "x.example") == (
        "cert.example.org",
        "reports@cert.example.org",
        "cert.example.org",
    )


@given(
    st.sampled_from(sorted(TYPES)),
    st.dictionaries(
        st.sampled_from(KEYS), HARMLESS | st.lists(st.sampled_from(["tcp", "22", "a@b.example"]))
    ),
    st.dictionaries(st.sampled_from(KEYS), HARMLESS),
    st.text(max_size=1100),
)
def test_whatever_events_say_a_document_is_as_xarf_asks(
    category: str, own: dict[str, Any], target: dict[str, Any], event_class: str
) -> None:
    found = sampled(category, own, target=target, Description=event_class)

    for document in written({event_class: found}, created=HI):
        assert faults(json.loads(document.content)) == []
