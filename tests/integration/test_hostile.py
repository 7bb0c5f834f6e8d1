"""What a hostile event, group or class says is text in a mail, and nothing else."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from integration.helpers_run import ALICE, MINUTE, START, Reporter, Row, Stored, event, group, reporter
from integration.test_report_mail import Sink, sink
from strictmail import Part, read_mail

__all__ = ["reporter", "sink"]

AT = START - MINUTE
BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
SEPARATORS = frozenset("\u2028\u2029\x85\x0b\x0c")
PAYLOADS = {
    "script": "<script>alert(1)</script>",
    "image": '"><img src=x onerror=alert(1)>',
    "attribute": "' onmouseover='alert(1)' style='background:url(//evil)",
    "end": "</td></table></style></title></body><h1>--></h1>",
    "entities": "&lt;script&gt;alert(1)&lt;/script&gt; &#60;b&#62;",
    "template": "{{7*7}} {% include '/etc/passwd' %} {# gone #} ${7*7}",
    "headers": "x\r\nBcc: victim@example.org\r\n\r\n<b>body</b>",
    "encoded": "=?utf-8?q?=0D=0ABcc:_victim@example.org?=",
    "boundary": "x\r\n--=_alternative-\r\nContent-Type: text/html\r\n\r\n.\r\n",
    "long": "n" * 10_000,
    "long words": "<b>w " * 2_500,
    "right to left": "\u202egpj.exe\u202c \u2067\u05d0\u05d1\u2069 \u200f\u061c",
    "emoji": "\U0001f469\u200d\U0001f4bb\U0001f3f4\U000e0067 e\u0301\u0327 \U0001f600" * 3,
    "separators": "a\u2028Bcc: a@b.example\u2029c\x85d\x0be\x0cf",
    "controls": "".join(map(chr, (*range(32), 127, *range(128, 160)))) + "x\ufeff\u200b\ufffe",
    "surrogate": "\ud800x\udfff",
    "quoted-printable": "=3Cscript=3E\r\nFrom me\r\n.\r\n=",
    "link": "javascript:alert(1) http://evil.example/ www.evil.example mailto:a@evil.example //evil.example",
}

TAGS = """html head meta title style body div table caption colgroup col thead tbody tfoot tr th td h1 h2 h3
    h4 p ul ol li dl dt dd a b strong em i span br hr small section header footer main bdi code"""
ATTRIBUTES = """lang dir charset name content http-equiv style class id role aria-label aria-hidden scope
    colspan rel rowspan width height align valign cellpadding cellspacing border bgcolor href title"""
HEADERS = """From To Subject Date Message-ID In-Reply-To References MIME-Version Auto-Submitted Content-Type
    X-Auto-Response-Suppress X-Cesnet-Report-Id X-Cesnet-Report-Severity X-Cesnet-Report-Srcip
    X-Cesnet-Report-Type X-Mentat-Report-Categories X-Mentat-Report-Class X-Mentat-Report-Classes
    X-Mentat-Report-Event-Count X-Mentat-Report-Id X-Mentat-Report-Parent-Id X-Mentat-Report-Severity
    X-Mentat-Report-Src-IP X-Mentat-Report-Test-Data X-Mentat-Report-Time-Window X-Mentat-Report-Type"""
LINK = re.compile(
    r"https://classes\.example\.org/known|mailto:reports@reporter\.example(\?subject=%5BM[0-9A-Z-]+%5D)?"
)
SIDE = ("Hostname", "URL", "Email", "MAC", "Proto", "Type", "Ref", "Netname", "Router", "Interface")
SHOWN = ("script", "image", "attribute", "end", "entities", "template")
"""What must be readable as it is; the others are cut, cleaned or defanged."""


class Page(HTMLParser):
    """What a mail program would find in a page: tags with attributes, links, and text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.comments: list[str] = []
        self._apart = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice in {tag}"
        self.tags.append((tag, dict(attrs)))
        self._apart = tag if tag in ("style", "title") else ""

    def handle_endtag(self, tag: str) -> None:
        self._apart = ""
        self.tags.append((f"/{tag}", {}))

    def handle_data(self, data: str) -> None:
        if self._apart != "style":
            self.words.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def stored(payload: str) -> str:
    """Return the payload as a column can hold it: neither NUL nor surrogates."""
    return payload.encode(errors="replace").decode().replace("\0", "")


def hostile(payload: str) -> Row:
    """Return an IDEA message that says the payload wherever it may say anything."""
    side: Row = {
        "IP4": ["192.0.2.1", payload],
        "IP6": [payload],
        "Port": [80, payload, -1],
        **{key: [payload] for key in SIDE},
        "Services": [{"Name": payload, "Port": payload}],
        "Note": payload,
    }  # fmt: skip
    return {
        "Category": ["Recon.Scanning", payload],
        "Source": [side],
        "Target": [{**side, "IP4": ["203.0.113.9"]}],
        "Node": [{"Name": payload, "SW": [payload], "Type": [payload]}],
        "Attach": [{"FileName": [payload], "Type": [payload], "Content": payload, "Note": payload}],
        "TLP": payload,
        **dict.fromkeys(("Description", "Note", "CreateTime", "EventTime", "CeaseTime"), payload),
        **{key: [payload] for key in ("Ref", "AltNames", "CorrelID")},
        **dict.fromkeys(("ConnCount", "FlowCount", "PacketCount", "ByteCount"), payload),
        "_Mentat": {"EventClass": payload, "Impact": payload, "ResolvedAbuses": [payload]},
    }


def said(found: Stored, message: Row) -> Stored:
    """Return an event with keys of its message replaced; what is not UTF-8 is escaped."""
    return found._replace(message=json.dumps({**json.loads(found.message or b""), **message}).encode())


def mailed(reporter: Reporter, sink: Sink, payload: str, **settings: Any) -> Iterator[Part]:
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both", **settings), **classes(payload))
    reporter.execute("update groups set description = %s", stored(payload))
    attack = {**hostile(payload), "Target": [{"IP4": ["192.0.2.7"], "Hostname": [payload]}]}
    attacked = event("target", AT, severity=None, target_severity="low", target_class=stored(payload))
    reporter.store(
        said(event("source", AT, event_class=stored(payload)), hostile(payload)),
        said(event("known", AT, event_class="known"), hostile(payload)),
        said(attacked, attack),
    )
    result = reporter.run(START)
    assert result.exit_code == 0, result.failures
    return (read_mail(envelope.original_content or b"") for envelope in sink.envelopes)


def classes(payload: str) -> Row:
    words = " ".join("".join(char if char.isprintable() else " " for char in payload).split())[:150]
    known = {
        "name": "known",
        "rule": "'Recon.Scanning' in Category",
        "label": {"en": words},
        "advice": {"en": words},
        "reference": "https://classes.example.org/known",
    }
    return {"event_classes": [known]}


def check_page(html: str) -> Page:
    page = Page(html)
    for tag, attributes in page.tags:
        assert tag.removeprefix("/") in TAGS.split()
        assert attributes.keys() <= set(ATTRIBUTES.split()), f"{tag}: {attributes}"
        assert "url(" not in (attributes.get("style") or "")
    links = {str(attributes["href"]) for _, attributes in page.tags if "href" in attributes}
    assert all(LINK.fullmatch(link) for link in links)
    return page


@pytest.mark.parametrize("look", ["default", "another"])
@pytest.mark.parametrize("name", PAYLOADS)
def test_what_is_hostile_is_shown_as_text(reporter: Reporter, sink: Sink, name: str, look: str) -> None:
    payload = PAYLOADS[name]

    mails = list(mailed(reporter, sink, payload, template=look))

    kinds = [dict(mail.headers)["X-Mentat-Report-Type"] for mail in mails]
    assert sorted(kinds) == ["extra", "summary", "target"]
    for mail in mails:
        text, html = mail.leaf("text/plain").text, mail.leaf("text/html").text
        page = check_page(html)
        assert {header for header, _ in mail.headers} <= set(HEADERS.split())
        for shown in (text, page.text):
            assert name not in SHOWN or payload in " ".join(shown.split())
            assert not BIDI.intersection(shown)
            assert not SEPARATORS.intersection(shown)
            assert "49" not in shown.split()
            assert all(char.isprintable() or char == "\n" for char in shown)
        assert max(map(len, text.split("\n"))) < 1000


def test_what_the_house_itself_says_is_text_too(reporter: Reporter, sink: Sink) -> None:
    payload = (PAYLOADS["image"] + PAYLOADS["right to left"] + PAYLOADS["attribute"])[:100]
    reporter.groups(group(ALICE, "192.0.2.0/24", mode="both"), **classes(payload))
    reporter.execute("update groups set name = %s", payload)
    reporter.execute("update event_classes set reference = 'javascript:alert(1)//\"><script>'")
    reporter.store(event("known", AT, event_class="known"))

    assert reporter.run(START).exit_code == 0

    for envelope in sink.envelopes:
        mail = read_mail(envelope.original_content or b"")
        page = check_page(mail.leaf("text/html").text)
        assert "<img src=x" in page.text
        assert not BIDI.intersection(mail.leaf("text/plain").text + page.text)
