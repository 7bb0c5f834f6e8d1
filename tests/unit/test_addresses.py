"""Addresses, networks and ranges as text."""

from ipaddress import ip_network, summarize_address_range

import pytest
from hypothesis import given
from strategies import spans

from mentat_reporter.core.addresses import joined, number_text, parse_address, span_text


@pytest.mark.parametrize(
    ("written", "canonical", "form"),
    [
        ("192.0.2.1", "192.0.2.1", "single"),
        (" 192.0.2.1 ", "192.0.2.1", "single"),
        ("2001:DB8:0::1", "2001:db8::1", "single"),
        ("192.0.2.77/24", "192.0.2.0/24", "cidr"),
        ("192.0.2.1/32", "192.0.2.1/32", "cidr"),
        ("::/0", "::/0", "cidr"),
        ("192.0.2.1-192.0.2.9", "192.0.2.1-192.0.2.9", "range"),
        ("192.0.2.0 - 192.0.2.255", "192.0.2.0-192.0.2.255", "range"),
        ("192.0.2.9-192.0.2.1", "192.0.2.1-192.0.2.9", "range"),
        ("2001:db8::-2001:0db8::FFFF", "2001:db8::-2001:db8::ffff", "range"),
    ],
)
def test_an_address_keeps_its_form_and_is_written_canonically(
    written: str, canonical: str, form: str
) -> None:
    address = parse_address(written)

    assert (address.text, address.form) == (canonical, form)


@pytest.mark.parametrize(
    "written",
    [
        "", "192.0.2", "192.0.2.256", "192.0.2.01", "192.0.2.1/33", "192.0.2.1/-1", "192.0.2.1/x", "::1/129",
        "192.0.2.1-", "192.0.2.1-::1", "host.example", "fe80::1%eth0", "1.2.3.4/", "\u0661.2.3.4",
        "1.2.3.4\n5",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"address|prefix|joins"):
        parse_address(written)


@given(spans())
def test_a_span_is_written_as_one_block_exactly_when_it_is_one(span: tuple[int, int, int]) -> None:
    version, first, last = span
    text = span_text(version, first, last)

    low, high = (ip_network(number_text(version, number))[0] for number in (first, last))
    blocks = list(summarize_address_range(low, high))
    assert parse_address(text)[:3] == span
    assert ("-" in text) == (len(blocks) > 1)
    assert ("/" in text) == (len(blocks) == 1 and first != last)


def test_touching_and_overlapping_addresses_are_joined() -> None:
    written = ["192.0.2.2", "192.0.2.0/31", "192.0.2.3", "192.0.2.9", "::1"]

    assert [address.text for address in joined([parse_address(text) for text in written])] == [
        "192.0.2.0/30", "192.0.2.9", "::1",
    ]  # fmt: skip
