"""Rules drawn from the grammars and IDEA-like messages for them to meet."""

from typing import Any

from hypothesis import strategies as st

Text = st.SearchStrategy[str]

WORDS = ["Recon.Scanning", "ssh", "tcp", "x", ""]
ADDRESSES4 = ["192.0.2.7", "192.0.2.200", "198.51.100.3", "192.0.2.0/24", "192.0.2.5-192.0.2.9"]
ADDRESSES6 = ["2001:db8::1", "2001:DB8::2", "2001:db8::/32", "2001:db8::1-2001:db8::9"]
TIMES = ["2020-01-01T10:00:00Z", "2020-01-01 11:30:00+01:00", "2021-06-01t00:00:00.5z", "2019-12-31T23:00:00"]


def _one_or_many(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.lists(values, max_size=3), values)


_words = st.sampled_from(WORDS)
_numbers = st.sampled_from([0, 1, 5, 22, 633, 2.5])
_odd = st.sampled_from([None, True, [], {}, {"a": 1}, [["x"], "ssh"], [1, "x", None]])


def _sections() -> st.SearchStrategy[Any]:
    section = st.fixed_dictionaries(
        {},
        optional={
            "IP4": _one_or_many(st.sampled_from(ADDRESSES4)),
            "IP6": _one_or_many(st.sampled_from(ADDRESSES6)),
            "Port": _one_or_many(_numbers),
            "Proto": st.one_of(_one_or_many(_words), _odd),
        },
    )
    return st.one_of(st.lists(section, max_size=3), section)


def messages() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {},
        optional={
            "Category": _one_or_many(_words),
            "ConnCount": _numbers,
            "DetectTime": st.sampled_from(TIMES),
            "EventTime": st.sampled_from(TIMES),
            "Note": st.one_of(_words, _odd),
            "Source": _sections(),
            "Target": _sections(),
        },
    )


def addressed_messages() -> st.SearchStrategy[dict[str, Any]]:
    """Draw messages whose addresses are there, nearly always."""
    section = st.fixed_dictionaries(
        {
            "IP4": _one_or_many(st.sampled_from([*ADDRESSES4, "x"])),
            "IP6": _one_or_many(st.sampled_from(ADDRESSES6)),
        }
    )
    sections = st.one_of(section, st.lists(section, min_size=1, max_size=2))
    return st.fixed_dictionaries({"Source": sections, "Target": sections})


def _joined(items: Text) -> Text:
    return st.lists(items, max_size=3).map(lambda found: f"[{', '.join(found)}]")


def _spaced(*parts: Text) -> Text:
    return st.tuples(*parts).map(" ".join)


# -- ransack ------------------------------------------------------------------------------------------------

_COMPARE = st.sampled_from([">", ">=", "<", "<=", "=", "==", "in", "contains", "IN"])
_address_constants = st.sampled_from(
    ["192.0.2.7", "192.0.2.0/24", "192.0.2.5-192.0.2.9", "0.0.0.0/0", "2001:db8::2", "2001:db8::/32"]
)
_number_constants = st.sampled_from(["0", "1", "22", "2.5", "-1", "6e2", "-(5)"])
_string_constants = st.sampled_from([repr(word) for word in WORDS])
_time_constants = st.sampled_from(
    ["2020-01-01T10:00:00Z", "2020-06-01", "2021-01-01 00:00:00+02:00", "now()"]
)
_durations = st.sampled_from(["01:00:00", "3D00:00:00"])
_address_paths = st.sampled_from(
    ["Source.IP4", ".Source.IP4", "Target.IP6", "(Source.IP4 ?? [])", "Source.IP6 ?? 192.0.2.7", "IP4"]
)
_word_paths = st.sampled_from(
    [
        *("Category", "ConnCount", "Note", "Source.Port", "Target.Proto", "Note.a", "Source.Port.x"),
        *(
            "(Target.Proto ?? [])",
            "Source.Proto ?? 'ssh'",
            "ConnCount ?? 5",
            "Source ??",
            "Note.a ??",
            ".Note ??",
        ),
    ]
)
_time_paths = st.sampled_from(["DetectTime", "EventTime", "CeaseTime ?? DetectTime", "DetectTime ??"])

_address_side = st.one_of(
    _address_paths,
    _address_constants,
    _joined(st.one_of(_address_constants, _number_constants)),
    st.just("(Source.IP4 ?? []) . (Target.IP6 ?? [])"),
    st.just("192.0.2.1 .. 192.0.2.100"),
)
_time_side = st.one_of(
    _time_paths,
    _time_constants,
    _durations,
    _joined(_time_constants),
    _spaced(st.one_of(_time_paths, _time_constants), st.sampled_from(["+", "-"]), _durations),
    _spaced(_time_paths, st.just("-"), _time_paths),
    _spaced(_time_constants, st.just(".."), _time_constants),
)
_word_side = st.one_of(
    _word_paths,
    _word_paths,
    _number_constants,
    _string_constants,
    _address_constants,
    _joined(st.one_of(_number_constants, _string_constants)),
    _joined(st.one_of(_number_constants, _word_paths, _address_constants, _string_constants)),
    _spaced(
        st.one_of(_word_paths, _number_constants),
        st.sampled_from(["+", "-", "*", "/", "%"]),
        _number_constants,
    ),
    _spaced(_word_paths, st.just("."), st.one_of(_word_paths, _string_constants)),
    _spaced(_number_constants, st.just(".."), _number_constants),
    st.sampled_from(
        ["length(Category)", "len(Source.IP4 ?? [])", "length(Note)", "length()", "-ConnCount", "-Note"]
    ),
)


def _composed(leaves: Text) -> Text:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            inner.map(lambda rule: f"not ({rule})"),
            inner.map(lambda rule: f"({rule})"),
            _spaced(inner, st.sampled_from(["and", "or", "&&", "||", "OR"]), inner),
        ),
        max_leaves=6,
    )


def ransack_rules() -> Text:
    """Rules in which no string meets an address of the message: that is where we differ from the library."""
    sides = (_address_side, _time_side, _word_side, _word_side)
    leaves = [_spaced(side, _COMPARE, side) for side in sides]
    return _composed(st.one_of(*leaves, *sides))


def quoted_address_rules() -> Text:
    """One comparison of addresses with strings."""
    quoted = st.sampled_from([repr(text) for text in [*ADDRESSES4, *ADDRESSES6, "192.0.2", "x"]])
    side = st.one_of(quoted, _joined(quoted))
    path = st.sampled_from(["Source.IP4", "Target.IP6", "(Source.IP4 ?? [])"])
    operator = st.sampled_from(["in", "=", "==", "contains"])
    return st.one_of(_spaced(path, operator, side), _spaced(side, operator, path))


# -- pynspect -----------------------------------------------------------------------------------------------

_paths = st.sampled_from(
    [
        *(
            "Category",
            "ConnCount",
            "Note",
            "Source.Port",
            "Source[1].Port",
            "Target.Proto",
            "Target[#].Proto[1]",
        ),
        *("Category[1]", "Note.a", "CeaseTime"),
    ]
)
_plain_constants = st.sampled_from(["0", "1", "22", "2.5", "'ssh'", "'x'", '"Recon.Scanning"', "10 - 2"])
_plain_lists = _plain_constants.filter(lambda text: " - " not in text)
_some = st.lists(_plain_lists, min_size=1, max_size=3).map(lambda found: f"[{', '.join(found)}]")
_patterns = st.sampled_from(["'s+h'", "'^x$'", "'.'", "['a', 'ss']", "Note"])
_order = st.sampled_from(["eq", "==", "!=", ">", ">=", "<", "le", "is", "in"])
_networks = st.sampled_from(["192.0.2.7", "192.0.2.0/24", "'192.0.2.7'"])
_times = st.sampled_from(["2020-01-01T10:00:00Z", "2021-01-01T00:00:00+02:00", "utcnow()"])

_pynspect_leaves = st.one_of(
    _spaced(_paths, _order, st.one_of(_plain_constants, _some, _paths)),
    _spaced(_paths, st.sampled_from(["like", "=~"]), _patterns),
    _spaced(st.sampled_from(["Source.IP4", "Source[1].IP4", "Target.IP4"]), _order, _networks),
    _spaced(
        st.just("Source.IP4"),
        st.sampled_from(["in", "=="]),
        _networks.map(lambda text: f"[{text}, 198.51.100.0/24]"),
    ),
    st.just("Target.IP6 in [2001:db8::/32, ::1]"),
    _spaced(st.sampled_from(["DetectTime", "EventTime"]), st.sampled_from(["<", ">=", "=="]), _times),
    _spaced(st.just("DetectTime > (EventTime -"), _durations.map(lambda text: f"{text})")),
    _spaced(_paths, st.sampled_from(["+", "-", "*", "/", "%"]), _paths, st.just("> 5")),
    _spaced(
        _paths, st.sampled_from(["+", "-", "*", "/", "%"]), st.sampled_from(["2", "0"]), _order, st.just("4")
    ),
    st.sampled_from(["size(Source.IP4)", "strlen(Category)", "strlen(Note)", "size(Note)"]).map(
        lambda f: f"{f} > 1"
    ),
    _paths.map(lambda path: f"exists {path}"),
    _paths,
)


def pynspect_rules() -> Text:
    """Rules without the forms that the library gets wrong: constants on the left, IPv6 constants."""
    return st.recursive(
        _pynspect_leaves,
        lambda inner: st.one_of(
            inner.map(lambda rule: f"not ({rule})"),
            inner.map(lambda rule: f"({rule})"),
            _spaced(inner, st.sampled_from(["and", "or", "xor", "&&", "||", "^^"]), inner),
        ),
        max_leaves=6,
    )
