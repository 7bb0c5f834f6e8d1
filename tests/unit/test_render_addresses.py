import pytest
from hypothesis import given
from hypothesis import strategies as st

from mentat_reporter.render.addresses import parse_addresses, valid_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("abuse@example.org", "abuse@example.org"),
        (" abuse@example.org ", "abuse@example.org"),
        ("First.Last+tag@Example.ORG", "First.Last+tag@example.org"),
        ("root@localhost", "root@localhost"),
        ("abuse@b\u00fccher.example", "abuse@xn--bcher-kva.example"),
    ],
)
def test_an_address_is_taken_with_its_domain_as_the_dns_knows_it(text: str, address: str) -> None:
    assert valid_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abuse",
        "@example.org",
        "abuse@",
        "a@x.example, v@y.example",
        "a@x.example v@y.example",
        "a@b@x.example",
        "Name <a@x.example>",
        "-oQ/tmp@x.example",
        "a@-x.example",
        "a@x..example",
        "a@x.example.",
        ".a@x.example",
        "a..b@x.example",
        "a@x.example\n",
        "a@x.example\r\nBcc: v@y.example",
        "a\x00@x.example",
        "\u00e1@x.example",
        "a@[192.0.2.1]",
        f"{'a' * 65}@x.example",
        f"a@{'x' * 64}.example",
        f"a@{'x.' * 130}example",
    ],
)
def test_what_is_not_exactly_one_address_is_refused(text: str) -> None:
    assert valid_address(text) is None


def test_entries_are_parted_and_named_once() -> None:
    good, bad = parse_addresses(["a@X.example", "nobody", "a@x.example", "A@x.example", "nobody", ""])

    assert good == ("a@x.example", "A@x.example")
    assert bad == ("nobody", "")


@given(st.text(max_size=60))
def test_no_text_at_all_gives_an_address_that_could_break_a_header(text: str) -> None:
    found = valid_address(text + "@x.example") or ""

    assert found.isascii()
    assert not set(found) & set('\r\n\t ,;<>()"\\:')
    assert not found.startswith("-")
