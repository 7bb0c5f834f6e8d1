"""docs/semantics.md: who owns an address."""

from hypothesis import given
from hypothesis import strategies as st
from strategies import addresses, networks

from mentat_reporter.core.addresses import parse_address, span_text
from mentat_reporter.core.model import Address, Network, Share
from mentat_reporter.core.ownership import Ownership, chain_of


def network(group: str, written: str, rank: int = 0, *, base: bool = False) -> Network:
    address = parse_address(written)
    return Network(group, address.version, address.first, address.last, rank, base)


def shares(written: str, *networks_: Network) -> list[Share]:
    return Ownership(networks_).shares(parse_address(written))


def test_the_most_specific_network_leads_the_chain() -> None:
    assert shares(
        "192.0.2.1",
        network("wide", "192.0.0.0/16"),
        network("narrow", "192.0.2.0/24"),
        network("one", "192.0.2.1"),
    ) == [("192.0.2.1", ("one", "narrow", "wide"), ())]


def test_of_two_equally_large_networks_the_one_that_begins_higher_leads() -> None:
    assert shares("192.0.2.5", network("a", "192.0.2.0-192.0.2.9"), network("b", "192.0.2.1-192.0.2.10")) == [
        ("192.0.2.5", ("b", "a"), ())
    ]


def test_of_two_equal_networks_the_name_decides() -> None:
    assert shares("192.0.2.5", network("b", "192.0.2.0/24"), network("a", "192.0.2.0/24")) == [
        ("192.0.2.5", ("a", "b"), ())
    ]


def test_ranked_networks_come_first_the_highest_leading_and_zero_or_less_is_no_rank() -> None:
    assert shares(
        "192.0.2.1",
        network("narrow", "192.0.2.0/30", rank=-1),
        network("second", "192.0.0.0/16", rank=1),
        network("first", "192.0.0.0/8", rank=7),
    ) == [("192.0.2.1", ("first", "second", "narrow"), ())]


def test_a_group_is_named_once_at_its_most_specific_network() -> None:
    assert shares(
        "192.0.2.1", network("a", "192.0.2.0/24"), network("b", "192.0.0.0/20"), network("a", "192.0.0.0/8")
    ) == [("192.0.2.1", ("a", "b"), ())]


def test_a_group_with_a_base_network_only_is_fallback() -> None:
    assert shares("192.0.2.1", network("a", "192.0.2.0/24"), network("b", "192.0.2.0/28", base=True)) == [
        ("192.0.2.1", ("a",), ("b",))
    ]


def test_base_networks_alone_make_a_chain() -> None:
    assert shares(
        "192.0.2.1", network("a", "192.0.0.0/8", base=True), network("b", "192.0.2.0/28", base=True)
    ) == [("192.0.2.1", ("b", "a"), ())]


def test_a_range_over_two_networks_is_split_and_each_owner_gets_its_part() -> None:
    assert shares("192.0.2.0/23", network("a", "192.0.2.0/24"), network("b", "192.0.3.0/25")) == [
        ("192.0.2.0/24", ("a",), ()),
        ("192.0.3.0/25", ("b",), ()),
        ("192.0.3.128/25", (), ()),
    ]


def test_neighbouring_parts_of_one_chain_are_joined_and_the_address_keeps_its_form() -> None:
    halves = (network("a", "192.0.2.0/25"), network("a", "192.0.2.128/25"))

    assert shares("192.0.2.0-192.0.2.255", *halves) == [("192.0.2.0-192.0.2.255", ("a",), ())]
    assert shares("192.0.2.0/24", *halves) == [("192.0.2.0/24", ("a",), ())]


def test_a_part_is_an_address_a_block_or_a_range() -> None:
    assert [share[0] for share in shares("192.0.2.0-192.0.2.8", network("a", "192.0.2.3-192.0.2.7"))] == [
        "192.0.2.0-192.0.2.2", "192.0.2.3-192.0.2.7", "192.0.2.8",
    ]  # fmt: skip


def test_the_whole_internet_is_split_like_anything_else() -> None:
    parts = shares("0.0.0.0/0", network("a", "192.0.2.0/24"))

    assert ("192.0.2.0/24", ("a",), ()) in parts
    assert len(parts) == 3


def test_without_networks_nobody_owns_anything() -> None:
    assert shares("2001:db8::1") == [("2001:db8::1", (), ())]


def brute_force(address: Address, known: list[Network]) -> list[Share]:
    """Ask for every single address, then join what belongs together."""
    runs: list[list[object]] = []
    for number in range(address.first, address.last + 1):
        holding = [
            item for item in known if item.version == address.version and item.first <= number <= item.last
        ]
        chain, fallbacks = chain_of(holding)
        if runs and runs[-1][2] == chain:
            runs[-1][1] = number
            runs[-1][3] = tuple(dict.fromkeys((*runs[-1][3], *fallbacks)))  # type: ignore[misc] # a tuple
        else:
            runs.append([number, number, chain, fallbacks])
    if len(runs) == 1:
        return [Share(address.text, *runs[0][2:])]  # type: ignore[arg-type] # chain and fallbacks
    return [Share(span_text(address.version, first, last), *rest) for first, last, *rest in runs]  # type: ignore[arg-type] # as above


@given(addresses(), st.lists(networks(), max_size=12))
def test_looking_up_agrees_with_asking_for_every_address(address: Address, known: list[Network]) -> None:
    assert Ownership(known).shares(address) == brute_force(address, known)


@given(addresses(), st.lists(networks(), max_size=12), st.randoms())
def test_the_order_of_networks_does_not_matter(
    address: Address, known: list[Network], random: object
) -> None:
    shuffled = list(known)
    random.shuffle(shuffled)  # type: ignore[attr-defined] # a random.Random

    found, again = Ownership(known).shares(address), Ownership(shuffled).shares(address)

    assert found == again
