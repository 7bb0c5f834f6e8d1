"""Groups, networks, rules, detectors and classes are read as Mentat stores them: seen by what runs report."""

import json
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from integration.helpers_run import DAY, MINUTE, START, Row, text_of
from mentat.helpers_process import MentatReporter, event_class, house, message, reporter, rule

__all__ = ["reporter"]

ALICE: Final = "abuse@alice.example"
BOB: Final = "abuse@bob.example"
CAROL: Final = "abuse@carol.example"
NSID: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)


def naive(days: int) -> str:
    return (START + days * DAY).replace(tzinfo=None).isoformat()


# Networks


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("192.0.2.0/25", "192.0.2.127", "192.0.2.128"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("192.0.2.7-192.0.2.21", "192.0.2.21", "192.0.2.22"),
        ("192.0.2.0-192.0.3.255", "192.0.3.255", "192.0.4.0"),
        ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
        ("2001:db8:1::/48", "2001:db8:1:ffff::1", "2001:db8:2::"),
        ("2001:db8::5", "2001:db8::5", "2001:db8::6"),
        ("2001:db8::5-2001:db8::1:0", "2001:db8::1:0", "2001:db8::1:1"),
        ("::/0", "2001:db8::1", "192.0.2.1"),
    ],
)
def test_a_network_owns_what_is_inside_it(
    reporter: MentatReporter, network: str, inside: str, outside: str
) -> None:
    reporter.fill(*house(ALICE, network))
    reporter.events(message("in", inside), message("out", outside))

    assert reporter.run(START).failures == []

    assert reporter.told() == {ALICE: ["in"]}


def test_ranks_come_before_size_and_base_networks_last(reporter: MentatReporter) -> None:
    reporter.fill(
        *house(ALICE, {"network": "192.0.2.0/24", "rank": 5}, "198.51.100.0/24"),
        *house(BOB, "192.0.2.0/30", {"network": "198.51.100.0/28", "is_base": True}),
        *house(CAROL, {"network": "0.0.0.0/0", "is_base": True}),
    )
    reporter.events(
        message("ranked", "192.0.2.1"), message("based", "198.51.100.1"), message("alone", "203.0.113.1")
    )

    reporter.run(START)

    assert reporter.told() == {f"{ALICE} {BOB}": ["ranked"], ALICE: ["based"], CAROL: ["alone"]}


# Groups and their settings


def test_a_disabled_group_owns_nothing_and_a_parent_adds_nobody(reporter: MentatReporter) -> None:
    reporter.fill(
        *house(ALICE, "192.0.2.0/24"),
        *house(BOB, "192.0.2.0/28", group={"enabled": False}),
        *house(CAROL, "198.51.100.0/24", group={"parent": ALICE}),
    )
    reporter.events(message("one", "192.0.2.1"), message("two", "198.51.100.1"))

    reporter.run(START)

    assert reporter.told() == {ALICE: ["one"], CAROL: ["two"]}
    assert sorted(reporter.recipients()) == [ALICE, CAROL]


def test_settings_that_are_null_are_those_of_the_configuration(reporter: MentatReporter) -> None:
    reporter.config["__core__reporter"] = {
        "default_reporting_locale": "cs",
        "default_reporting_timezone": "Europe/Prague",
    }
    nothing: dict[str, Any] = dict.fromkeys(("mode", "locale", "timezone", "redirect"))
    reporter.fill(*house(ALICE, "192.0.2.0/24", **nothing))
    reporter.events(message("one", "192.0.2.1"))

    reporter.run(START)

    (mail,) = reporter.mails()
    text = text_of(mail).replace("\N{NO-BREAK SPACE}", " ")
    assert "Dobrý den" in text
    assert "4. 5. 2026 13:59:00 UTC+02:00" in text


def test_a_group_without_settings_is_reported_to_the_fallback(reporter: MentatReporter) -> None:
    reporter.config["__core__reporter"] = {"fallback": ["fallback@reporter.example"]}
    reporter.fill(*house(ALICE, "192.0.2.0/24")[:-1])
    reporter.events(message("one", "192.0.2.1"))

    reporter.run(START)

    assert reporter.told() == {ALICE: ["one"]}
    assert reporter.recipients() == ["fallback@reporter.example"]


def test_modes_and_redirection_hold(reporter: MentatReporter) -> None:
    reporter.fill(
        *house(ALICE, "192.0.2.0/24", mode="none"),
        *house(BOB, "198.51.100.0/24", redirect=True),
        *house(CAROL, "203.0.113.0/24", mode="both", emails_low=["low@carol.example"]),
    )
    reporter.events(
        message("one", "192.0.2.1"), message("two", "198.51.100.1"), message("three", "203.0.113.1")
    )

    reporter.run(START)

    assert sorted(reporter.recipients()) == ["admin@reporter.example", *["low@carol.example"] * 2]
    assert {mail["Cc"] for mail in reporter.mails() if "low@" in mail["To"]} == {CAROL}
    assert [report["type"] for report in reporter.reports()].count("extra") == 1


# Rules


BASIC: Final[list[tuple[Row, set[str]]]] = [
    ({"detectors": ["org.example.bad", "org.example.worse"]}, {"detector"}),
    ({"categories": ["Attempt.Exploit"]}, {"category"}),
    ({"event_classes": ["probe"]}, {"class"}),
    ({"sources": ["192.0.2.64/26", "192.0.2.40-192.0.2.50", "2001:db8::/32"]}, {"net", "range", "six"}),
    ({"sources": ["192.0.2.66"]}, {"net"}),
    ({"targets": ["203.0.113.5", "203.0.113.64/26"]}, {"target"}),
    ({"protocols": ["ssh", "telnet"]}, {"proto"}),
    ({"protocols": ["ssh"], "sources": ["192.0.2.64/26"]}, set()),
]


@pytest.mark.parametrize(
    ("columns", "dropped"), BASIC, ids=[" ".join(sorted((*row, *ids))) for row, ids in BASIC]
)
def test_a_basic_filter_drops_what_the_web_interface_made_it_for(
    reporter: MentatReporter, columns: Row, dropped: set[str]
) -> None:
    reporter.fill(
        *house(ALICE, "192.0.2.0/24", "2001:db8::/32"),
        event_class("scan"),
        event_class("probe"),
        rule(group=ALICE, **columns),
    )
    stored = [
        message("detector", "192.0.2.1", Node=[{"Name": "org.example.bad"}]),
        message("category", "192.0.2.2", Category=["Attempt.Exploit"]),
        message("class", "192.0.2.3", mentat={"EventClass": "probe"}),
        message("net", "192.0.2.66"),
        message("range", "192.0.2.45"),
        message("six", "2001:db8::1"),
        message("target", "192.0.2.4", targets=("203.0.113.70",)),
        message("proto", "192.0.2.5", Target=[{"IP4": ["203.0.113.9"], "Proto": ["tcp", "telnet"]}]),
    ]
    reporter.events(*stored)

    assert reporter.run(START).failures == []

    assert set(reporter.told()[ALICE]) == {row["ID"] for row in stored} - dropped
    assert reporter.value("select hits from filters") == len(dropped)


def test_an_advanced_filter_may_use_all_of_ransack(reporter: MentatReporter) -> None:
    reporter.fill(
        *house(ALICE, "192.0.2.0/24"),
        rule("Source.IP4 in [192.0.2.0/30, 192.0.2.8-192.0.2.9] and not Target.Port??[] > 1000", ALICE),
        rule("Category = 'Attempt.Exploit' or _Mentat.EventClass == 'probe'", ALICE),
        rule("length(Source.IP4) >", ALICE, name="broken"),
    )
    low, high = {"IP4": ["203.0.113.1"], "Port": [22]}, {"IP4": ["203.0.113.1"], "Port": [8080]}
    reporter.events(
        message("address", "192.0.2.1", Target=[low]),
        message("port", "192.0.2.9", Target=[high]),
        message("text", "192.0.2.77", Category=["Attempt.Exploit"], Target=[low]),
        message("class", "192.0.2.78", mentat={"EventClass": "probe"}, Target=[low]),
        message("kept", "192.0.2.79", Target=[low]),
    )

    result = reporter.run(START)

    assert reporter.told() == {ALICE: ["kept", "port"]}
    assert any("broken" in failure for failure in result.failures)


def test_a_rule_holds_while_it_is_on_and_valid(reporter: MentatReporter) -> None:
    def only(address: str, **columns: Any) -> Row:
        return rule(f"Source.IP4 = {address}", ALICE, name=address, **columns)

    reporter.fill(
        *house(ALICE, "192.0.2.0/24"),
        only("192.0.2.1", valid_from=naive(-1), valid_to=naive(1)),
        only("192.0.2.2", valid_from=naive(1)),
        only("192.0.2.3", valid_to=naive(-1)),
        only("192.0.2.4", enabled=False),
        only("192.0.2.5", valid_to=naive(1), hits=7),
    )
    reporter.events(*(message(f"at-{last}", f"192.0.2.{last}") for last in range(1, 6)))

    reporter.run(START)

    assert reporter.told() == {ALICE: ["at-2", "at-3", "at-4"]}
    hits = reporter.rows("select hits, last_hit is not null from filters order by name")
    assert hits == [(1, True), (0, False), (0, False), (0, False), (8, True)]


def test_a_global_rule_is_everybodys_and_directions_are_kept_apart(reporter: MentatReporter) -> None:
    reporter.fill(
        *house(ALICE, "192.0.2.0/24"),
        *house(BOB, "198.51.100.0/24"),
        rule("Source.IP4 = 198.51.100.1", ALICE, name="of another group"),
        rule("Category = 'Attempt.Login'", name="of all"),
        rule("Category = 'Recon.Scanning' and Target.IP4 = 192.0.2.9", ALICE, source_based=False),
    )
    aimed = {"TargetAbuses": ["somebody"], "TargetClass": "scan", "TargetSeverity": "low"}
    reporter.events(
        message("login-a", "192.0.2.1", Category=["Attempt.Login"]),
        message("login-b", "198.51.100.2", Category=["Attempt.Login"]),
        message("b", "198.51.100.1"),
        message("a", "192.0.2.2", targets=("192.0.2.9",)),
        message("to-a", "203.0.113.1", targets=("192.0.2.9",), mentat=aimed),
        message("to-a-too", "203.0.113.1", targets=("192.0.2.8",), mentat=aimed),
    )

    reporter.run(START)

    assert reporter.told() == {ALICE: ["a", "to-a-too"], BOB: ["b"]}


# Detectors and classes


def test_detectors_that_are_not_believed_are_not_reported(reporter: MentatReporter) -> None:
    detectors = {"doubtful": 0.4, "so": 0.7, "good": 1.0}
    reporter.fill(
        *house(ALICE, "192.0.2.0/24"),
        *(
            {"model": "DetectorModel", "name": name, "source": "manual", "credibility": credibility}
            for name, credibility in detectors.items()
        ),
    )
    reporter.events(
        *(message(name, "192.0.2.1", Node=[{"Name": name}]) for name in (*detectors, "new")),
        message("twice-so", "192.0.2.2", Node=[{"Name": "so"}] * 2),
        message("both", "192.0.2.3", Node=[{"Name": "so"}, {"Name": "doubtful"}]),
    )

    reporter.run(START)

    told = reporter.told()[ALICE]
    assert {"so", "good", "new"} <= set(told)
    assert not {"doubtful", "both"} & set(told)


@pytest.mark.parametrize(
    ("locale", "label"), [("en", "Scans of ports"), ("cs", "Skenování portů"), ("de", "Scans of ports")]
)
def test_a_class_is_named_in_the_readers_language(reporter: MentatReporter, locale: str, label: str) -> None:
    reporter.fill(
        *house(ALICE, "192.0.2.0/24", locale=locale, mode="extra"),
        event_class(
            "scan",
            label_en="Scans of ports",
            label_cz="Skenování portů",
            reference="https://csirt.example/scans",
            displayed_main=["ConnCount", "protocols"],
            displayed_source=["Port", "Hostname"],
            displayed_target=["Port"],
            displayed_attach=[],
        ),
    )
    reporter.events(
        message(
            "one",
            "192.0.2.1",
            ConnCount=1234,
            PacketCount=987654,
            Target=[{"IP4": ["203.0.113.1"], "Port": [2222], "Hostname": ["victim.example"]}],
        )
    )

    reporter.run(START)

    (mail,) = reporter.mails()
    text = text_of(mail)
    assert label in text
    assert "csirt.example" in text
    assert "2222" in text
    assert "987" not in text


def test_subclasses_and_shadow_classes_are_as_the_inspector_left_them(reporter: MentatReporter) -> None:
    reporter.fill(
        *house(ALICE, "192.0.2.0/24"),
        event_class("scan", subclassing="Target.Port ?? []"),
        event_class("secret", state="SHADOW"),
        event_class("off", state="DISABLED"),
    )
    reporter.events(
        message("one", "192.0.2.1", mentat={"EventSubclass": ["ssh", "http"]}),
        message("shadow", "192.0.2.2", mentat={"EventClass": "secret", "ShadowReporting": True}),
        message("off", "192.0.2.3", mentat={"EventClass": "off"}),
    )

    reporter.run(START)

    told = {report["flag_shadow"]: report for report in reporter.reports()}
    assert told[True]["statistics"]["list_ids"] == ["shadow"]
    assert sorted(told[False]["statistics"]["list_ids"]) == ["off", "one"]
    assert re.findall(r"scan/[a-z, ]+", json.dumps(told[False]["structured_data"])) == ["scan/ssh, http"]
    assert reporter.recipients() == [ALICE]


# Real messages


def test_real_messages_that_mentat_stored_are_reported_to_whom_they_concern(reporter: MentatReporter) -> None:
    folder = os.environ.get("MENTAT_REPORTER_FEEDS")
    if not folder:
        pytest.skip("MENTAT_REPORTER_FEEDS names no folder of real messages")
    lines = (Path(folder) / "idea-feeds.ndjson").read_text(encoding="utf-8").splitlines()
    marks = message("x")["_Mentat"]
    stored = []
    for number, line in enumerate(lines[:200]):
        found = json.loads(line)
        if not all(NSID.fullmatch(node.get("Name", "")) for node in found.get("Node", [{}])):
            continue  # Mentat stores no such message
        found["ID"] = f"feed-{number}"
        found["_Mentat"] = {
            **marks,
            "StorageTime": (START - MINUTE + timedelta(seconds=number / 10)).isoformat(),
        }
        stored.append(found)
    reporter.fill(*house(ALICE, "0.0.0.0/0", "::/0"))
    reporter.events(*stored)

    assert reporter.run(START).failures == []

    expected = {
        found["ID"]
        for found in stored
        if "Test" not in found["Category"]
        and any(source.get("IP4") or source.get("IP6") for source in found.get("Source", []))
    }
    assert set(reporter.told()[ALICE]) == expected
