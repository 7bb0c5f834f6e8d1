"""docs/semantics.md: own → filter → credit."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import pytest
from factories_core import CHAIN, attack, event, rule, sighting
from hypothesis import given
from hypothesis import strategies as st
from strategies import messages, networks

from mentat_reporter.core.addresses import parse_address
from mentat_reporter.core.intake import (
    FilterRule,
    Intake,
    RuleBook,
    Tally,
    doubtful,
    is_credible,
    own,
    sift,
    take_in,
)
from mentat_reporter.core.model import Event, Network, Sighting
from mentat_reporter.core.ownership import Ownership

A, B, C = "abuse@a.example", "abuse@b.example", "abuse@c.example"


def network(group: str, written: str, *, base: bool = False) -> Network:
    address = parse_address(written)
    return Network(group, address.version, address.first, address.last, is_base=base)


def seen_at(*written: str, **message: Any) -> Event:
    return event(Source=[{"IP4": list(written)}], **message)


def taken(
    sightings: Sequence[Sighting],
    rules: Iterable[FilterRule] = (),
    credibilities: Mapping[str, float] | None = None,
) -> Intake:
    """Take in the sightings of one owner, event by event."""
    intake, book = Intake(), RuleBook(rules)
    for _, of_one in groupby(sightings, key=lambda sighting: sighting.event.id):
        take_in(intake, list(of_one), book, credibilities or {})
    return intake


def dropped_by(seen: Sighting, *rules: FilterRule) -> str | None:
    match = sift(seen, RuleBook(rules)).dropped_by
    return match.name if match else None


# Own


def test_every_address_is_seen_at_its_chain() -> None:
    ownership = Ownership(
        [network(A, "192.0.2.0/25"), network(B, "192.0.2.0/24"), network(C, "192.0.0.0/16", base=True)]
    )

    seen = list(own(seen_at("192.0.2.1", "192.0.2.200", "198.51.100.1"), "source", ownership))

    assert [(one.address, one.chain, one.fallbacks) for one in seen] == [
        ("192.0.2.1", (A, B), (C,)),
        ("192.0.2.200", (B,), (C,)),
        ("198.51.100.1", (), ()),
    ]
    assert seen[0].owner == A


def test_the_parts_of_a_split_range_are_seen_each_with_the_range_as_their_origin() -> None:
    ownership = Ownership([network(A, "192.0.2.0/24"), network(B, "192.0.3.0/24")])

    seen = list(own(seen_at("192.0.2.0/23"), "source", ownership))

    assert [(one.address, one.chain, [origin.text for origin in one.origins]) for one in seen] == [
        ("192.0.2.0/24", (A,), ["192.0.2.0/23"]),
        ("192.0.3.0/24", (B,), ["192.0.2.0/23"]),
    ]


def test_an_address_that_is_also_a_part_of_another_is_seen_once_as_a_part_of_both() -> None:
    ownership = Ownership([network(A, "192.0.2.0/24"), network(B, "192.0.3.0/24")])

    seen = list(own(seen_at("192.0.2.0/23", "192.0.2.0/24"), "source", ownership))

    assert [(one.address, [origin.text for origin in one.origins]) for one in seen] == [
        ("192.0.2.0/24", ["192.0.2.0/23", "192.0.2.0/24"]),
        ("192.0.3.0/24", ["192.0.2.0/23"]),
    ]


def test_each_direction_has_its_own_addresses() -> None:
    seen = attack(Source=[{"IP4": ["192.0.2.1"]}], Target=[{"IP4": ["192.0.2.9"]}])
    ownership = Ownership([network(A, "192.0.2.0/24")])

    assert [one.address for one in own(seen, "target", ownership)] == ["192.0.2.9"]
    assert list(own(seen, "source", ownership)) == []


# Rules


def test_without_rules_everything_is_kept() -> None:
    seen = sighting(event())

    assert sift(seen, RuleBook([])) == (seen, None, ())


def test_the_first_rule_that_matches_drops_global_ones_before_those_of_the_chain_in_its_order() -> None:
    seen = sighting(event(), chain=(B, A))
    of_a, of_b, of_all = rule("a", group=A), rule("b", group=B), rule("all")

    assert dropped_by(seen, of_a, of_b, of_all) == "all"
    assert dropped_by(seen, of_a, of_b) == "b"
    assert dropped_by(seen, of_a) == "a"
    assert dropped_by(seen, rule("misses", matches="x.example"), of_a) == "a"


def test_rules_of_other_groups_and_of_the_other_direction_are_not_asked() -> None:
    seen = sighting(event(), chain=(A,))

    assert dropped_by(seen, rule("c", group=C), rule("target", direction="target")) is None
    assert dropped_by(seen._replace(direction="target"), rule("target", direction="target")) == "target"


def test_rules_of_a_fallback_group_remove_that_fallback_alone() -> None:
    seen = sighting(event(), chain=(A,), fallbacks=(B, C))
    of_b = rule("b", group=B)

    sifted = sift(seen, RuleBook([of_b, rule("misses", matches="x.example", group=C)]))

    assert sifted == (seen._replace(fallbacks=(C,)), None, (of_b,))


def test_what_the_chain_drops_is_not_shown_to_fallbacks() -> None:
    seen = sighting(event(), chain=(A,), fallbacks=(B,))
    of_a = rule("a", group=A)

    assert sift(seen, RuleBook([of_a, rule("b", group=B)])) == (None, of_a, ())


def test_a_rule_sees_one_address_at_a_time_so_that_an_event_can_lose_one_of_three() -> None:
    ownership = Ownership([network(A, "192.0.2.0/24")])
    seen = list(own(seen_at("192.0.2.1", "192.0.2.2", "192.0.2.3"), "source", ownership))

    intake = taken(seen, [rule("two", matches="192.0.2.2", number=7)])

    assert [one.address for one in intake.sightings] == ["192.0.2.1", "192.0.2.3"]
    assert intake.rule_hits == {7: 1}


def test_each_part_of_a_split_range_is_judged_for_itself() -> None:
    ownership = Ownership([network(A, "192.0.2.0/25"), network(A, "192.0.3.0/25")])
    seen = [one for one in own(seen_at("192.0.2.0/23"), "source", ownership) if one.chain]

    intake = taken(seen, [rule("first", matches="192.0.2.0/25")])

    assert [one.address for one in seen] == ["192.0.2.0/25", "192.0.3.0/25"]
    assert [one.address for one in intake.sightings] == ["192.0.3.0/25"]


def test_a_rule_that_fails_is_not_applied_and_remembered_with_its_group_and_how_often() -> None:
    book = RuleBook(
        [rule("broken", matches=None, group=A), rule("broken", matches=None), rule("works", group=A)]
    )
    seen = sighting(event(), chain=(A,))

    names = [match.name for match in (sift(seen, book).dropped_by for _ in range(3)) if match]

    assert names == ["works"] * 3
    assert book.failures == {(A, "broken"): ("broken fails", 3), ("", "broken"): ("broken fails", 3)}


def test_a_fallbacks_rule_that_fails_removes_nothing() -> None:
    seen = sighting(event(), chain=(A,), fallbacks=(B,))
    book = RuleBook([rule("broken", matches=None, group=B)])

    assert sift(seen, book).sighting == seen
    assert book.failures == {(B, "broken"): ("broken fails", 1)}


def test_an_error_that_is_not_the_rules_own_is_not_hidden() -> None:
    def explode(_message: Mapping[str, Any]) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sift(sighting(event()), RuleBook([FilterRule(1, "bug", "", "source", explode)]))


# Credibility

KNOWN = {"sure": 1.0, "half": 0.5, "shaky": 0.7, "poor": 0.49, "none": 0.0}


@pytest.mark.parametrize(
    ("names", "credible", "who_took"),
    [
        ([], True, []),
        (["unknown"], True, []),
        (["sure", "unknown"], True, []),
        (["half"], True, ["half"]),
        (["half", "unknown", "sure"], True, ["half"]),
        (["poor"], False, ["poor"]),
        (["shaky"], True, ["shaky"]),
        (["shaky", "shaky"], True, ["shaky"]),
        (["shaky", "half"], False, ["shaky", "half"]),
        (["none", "sure"], False, ["none"]),
    ],
)
def test_an_event_is_credible_if_its_detectors_multiply_to_a_half_or_more(
    names: list[str], credible: bool, who_took: list[str]
) -> None:
    seen = event(Node=[{"Name": [name]} for name in names])

    assert is_credible(seen, KNOWN) == credible
    assert doubtful(seen, KNOWN) == who_took


def test_what_is_not_credible_is_dropped_and_counted_with_the_detectors_that_did_it() -> None:
    nodes = [{"Name": ["shaky"]}, {"Name": ["half"]}, {"Name": ["sure"]}]
    seen = event("one", Node=nodes)

    intake = taken([sighting(seen), sighting(seen, "192.0.2.2")], credibilities=KNOWN)

    assert intake.sightings == []
    assert intake.tallies == {(CHAIN, False): Tally(new=1, kept=1)}
    assert intake.detector_hits == {"shaky": 1, "half": 1}


def test_the_detectors_of_a_filtered_event_are_not_blamed() -> None:
    intake = taken([sighting(event(Node=[{"Name": "poor"}]))], [rule("all")], KNOWN)

    assert intake.detector_hits == {}


def test_the_detectors_of_a_credible_event_are_not_blamed() -> None:
    intake = taken([sighting(event("one", Node=[{"Name": "half"}]))], credibilities=KNOWN)

    assert intake.detector_hits == {}
    assert intake.tallies[CHAIN, False].credible == 1


# Tallies


def test_an_event_with_one_address_filtered_and_one_kept_counts_as_kept() -> None:
    seen = event("one", Source=[{"IP4": ["192.0.2.1", "192.0.2.2"]}])

    intake = taken([sighting(seen), sighting(seen, "192.0.2.2")], [rule("two", matches="192.0.2.2")])

    assert intake.tallies == {(CHAIN, False): Tally(new=1, kept=1, credible=1, filtered=Counter(two=1))}


def test_tallies_are_kept_apart_by_chain_and_shadow() -> None:
    plain, shadow = event("plain"), event("shadow", shadow=True)

    intake = taken([sighting(plain), sighting(plain, chain=(A, B)), sighting(shadow)])

    assert {key: tally.new for key, tally in intake.tallies.items()} == {
        ((A,), False): 1,
        ((A, B), False): 1,
        ((A,), True): 1,
    }


def test_shadow_is_that_of_the_direction() -> None:
    seen = sighting(attack("one", shadow=True, Target=[{"IP4": ["192.0.2.1"]}]), direction="target")

    assert set(taken([seen]).tallies) == {(CHAIN, True)}


def test_rule_hits_count_sightings_and_rules_of_fallbacks_count_too() -> None:
    seen = event("one", Source=[{"IP4": ["192.0.2.1", "192.0.2.2"]}])
    both = [sighting(seen, fallbacks=(B,)), sighting(seen, "192.0.2.2", fallbacks=(B,))]

    dropping = taken(both, [rule("all", number=1), rule("b", group=B, number=2)])
    removing = taken(both, [rule("b", group=B, number=2)])

    assert dropping.rule_hits == {1: 2}
    assert removing.rule_hits == {2: 2}
    assert [one.fallbacks for one in removing.sightings] == [(), ()]
    assert removing.tallies[CHAIN, False].filtered == {}


def test_every_event_is_considered_with_its_storage_time_whatever_becomes_of_it() -> None:
    kept, filtered, doubted = (
        event("kept"),
        event("filtered", Note="x.example"),
        event("doubted", Node=[{"Name": "poor"}]),
    )

    intake = taken(
        [sighting(one) for one in (kept, filtered, doubted)], [rule("x", matches="x.example")], KNOWN
    )

    assert intake.considered == {one.id: one.storage_time for one in (kept, filtered, doubted)}
    assert [one.event.id for one in intake.sightings] == ["kept"]


# Properties

books = st.lists(
    st.builds(
        rule,
        st.sampled_from(["one", "two", "three"]),
        st.sampled_from([True, None, "192.0.2.1", "2001:db8::", "tcp", "org.a"]),
        group=st.sampled_from(["", "abuse@a.example", "abuse@b.example", "abuse@c.example"]),
        number=st.integers(1, 3),
    ),
    max_size=4,
)
credibilities = st.dictionaries(
    st.sampled_from(["org.a", "org.b"]), st.sampled_from([0.0, 0.4, 0.5, 0.7, 1.0])
)


@st.composite
def owned(draw: st.DrawFn) -> list[Sighting]:
    """All sightings that some events have of one owner."""
    ownership = Ownership(draw(st.lists(networks(), min_size=1, max_size=6)))
    events = [
        event(str(number), **message) for number, message in enumerate(draw(st.lists(messages, max_size=5)))
    ]
    seen = [one for each in events for one in own(each, "source", ownership) if one.chain]
    return [one for one in seen if one.owner == seen[0].owner]


def facts(intake: Intake) -> Any:
    sightings = sorted((one.event.id, one.address, one.chain, one.fallbacks) for one in intake.sightings)
    return sightings, intake.tallies, intake.considered, intake.rule_hits, intake.detector_hits


@given(owned(), books, credibilities)
def test_kept_and_dropped_are_what_came_in(
    seen: list[Sighting], rules: list[FilterRule], known: dict[str, float]
) -> None:
    book = RuleBook(rules)
    sifted = [sift(one, book) for one in seen]

    intake = taken(seen, rules, known)

    assert all((one.sighting is None) == (one.dropped_by is not None) for one in sifted)
    through = [one.sighting for one in sifted if one.sighting and is_credible(one.sighting.event, known)]
    assert intake.sightings == through
    assert set(intake.considered) == {one.event.id for one in seen}
    for (chain, _), tally in intake.tallies.items():
        came = {one.event.id for one in seen if one.chain == chain}
        left = {one.sighting.event.id for one in sifted if one.sighting and one.sighting.chain == chain}
        removed = {
            (one.dropped_by.name, sighting.event.id)
            for one, sighting in zip(sifted, seen, strict=True)
            if one.dropped_by and sighting.chain == chain
        }
        assert (tally.new, tally.kept) == (len(came), len(left))
        assert tally.filtered == Counter(name for name, _ in removed)
        assert tally.credible == len({one.event.id for one in through if one.chain == chain})
    assert intake.survived == len({one.sighting.event.id for one in sifted if one.sighting})


@given(owned(), books, credibilities)
def test_intakes_of_different_events_join_to_that_of_all(
    seen: list[Sighting], rules: list[FilterRule], known: dict[str, float]
) -> None:
    whole = Intake()
    for _, of_one in groupby(seen, key=lambda one: one.event.id):
        whole.join(taken(list(of_one), rules, known))

    assert whole == taken(seen, rules, known)


@given(owned(), books, credibilities, st.randoms(use_true_random=False))
def test_the_order_of_events_does_not_matter(
    seen: list[Sighting], rules: list[FilterRule], known: dict[str, float], random: Any
) -> None:
    events = [list(of_one) for _, of_one in groupby(seen, key=lambda one: one.event.id)]
    random.shuffle(events)

    shuffled = [one for of_one in events for one in of_one]

    assert facts(taken(shuffled, rules, known)) == facts(taken(seen, rules, known))


@given(owned(), books)
def test_rules_never_change_what_is_seen_but_its_fallbacks(
    seen: list[Sighting], rules: list[FilterRule]
) -> None:
    book = RuleBook(rules)

    for one in seen:
        kept = sift(one, book).sighting
        if kept is not None:
            assert kept._replace(fallbacks=one.fallbacks) == one
            assert [name for name in one.fallbacks if name in kept.fallbacks] == list(kept.fallbacks)
