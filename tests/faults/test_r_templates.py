"""R1 and R2 of docs/reliability.md: a template that fails costs its own looks alone, none is elsewhere."""

import logging
from pathlib import Path
from typing import Any, Final

import pytest
from faults.helpers_poison import (
    AT,
    GOOD,
    TEN,
    good_are_told,
    named,
    of_alice,
    program,
    quarantine,
    to_groups,
)
from integration.helpers_run import (
    ALICE,
    BOB,
    CAROL,
    GROUPS,
    START,
    Reporter,
    event,
    group,
    html_of,
    reporter,
    text_of,
)

from mentat_reporter import rendering
from mentat_reporter.core.model import Report
from mentat_reporter.errors import TemplateError
from mentat_reporter.render.templates import Rendered, Templates

__all__ = ["reporter"]

SHIPPED: Final = "Our detectors registered possible problems"


def site(reporter: Reporter, text: str, name: str = "summary.txt", folder: str = "ours") -> Path:
    """Give the reporter a folder of templates with one that says `text`."""
    place = reporter.place / "templates"
    (place / folder).mkdir(parents=True, exist_ok=True)
    (place / folder / name).write_text(text)
    reporter.config["__core__reporter"]["templates_dir"] = str(place)
    return place


def alices_mail(reporter: Reporter) -> str:
    [text] = [text_of(mail) for mail in reporter.mails() if mail["To"] == ALICE]
    return " ".join(text.split())


# R1

FAILING: Final = {
    "raises": "{{ 1 / 0 }}",
    "asks for what there is not": "{{ report.nothing_like_this }}",
    "is torn": "{% if report",
    "is no text": b"\xff\xfe\x00{{",
    "leaves the sandbox": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "reads a file": "{% include '/etc/passwd' %}",
    "reads a file above": "{% include '../../secret.txt' %}",
    "includes itself": "{% include 'summary.txt' %}",
    "extends itself": "{% extends 'summary.txt' %}",
    "recurses": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "wants all memory": "{{ 'x' * 10 ** 15 }}",
    "counts in one go": "{{ 10 ** (10 ** 10) }}",
    "counts too far": "{% for a in range(10 ** 9) %}{% endfor %}",
}


@pytest.mark.parametrize("fault", FAILING)
def test_r1_a_sites_template_that_fails_is_named_and_the_shipped_one_used(
    reporter: Reporter, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", template="ours"), *GROUPS[1:])
    text = FAILING[fault]
    place = site(reporter, text if isinstance(text, str) else "")
    if isinstance(text, bytes):
        (place / "ours" / "summary.txt").write_bytes(text)
    (reporter.place / "secret.txt").write_text("the secret")
    reporter.store(event("one", AT), *GOOD)

    with caplog.at_level(logging.WARNING):
        result = reporter.run(START)

    assert named(result, "template ours:", "the shipped default is used")
    assert any("template ours:" in line for line in caplog.messages)
    assert ("template", "ours/summary") in quarantine(reporter)
    assert SHIPPED in alices_mail(reporter)
    assert of_alice(reporter) == ["one"]
    assert good_are_told(reporter)
    assert to_groups(reporter) == [ALICE, BOB, CAROL]
    assert len(result.failures) == 1


def test_r1_a_template_that_loops_is_cut_short_and_not_asked_again(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "PATIENCE", 0.5)
    reporter.groups(group(ALICE, "192.0.2.0/24", template="ours", mode="extra"), *GROUPS[1:])
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    site(reporter, endless, "extra.txt")
    reporter.store(*(event(f"one {number}", AT, f"192.0.2.{number}") for number in range(50)), *GOOD)

    result = reporter.run(START)

    assert named(result, "template ours:", "takes longer than", "the shipped default is used")
    assert len(of_alice(reporter)) == 50
    assert to_groups(reporter) == [*[ALICE] * 50, BOB, CAROL]
    assert good_are_told(reporter)
    assert reporter.value("select count from mentat_reporter.quarantine where kind = 'template'") == 1


@pytest.mark.parametrize("times", [1, 3])
def test_r1_where_the_shipped_template_fails_too_the_unit_is_tried_again(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    reporter.groups()
    reporter.store(event("one", AT), *GOOD)
    render = Templates.render

    def fail(self: Templates, report: Report, *names: Any, **more: Any) -> Rendered:
        if report.chain == (ALICE,):
            raise TemplateError("no text")
        return render(self, report, *names, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Templates, "render", fail)
        for number in range(times):
            result = reporter.run(START + number * TEN)
            assert named(result, f"group {ALICE}, low source failed and will be tried again", "no text")
    assert good_are_told(reporter)
    assert to_groups(reporter) == [BOB, CAROL]

    reporter.run(START + times * TEN)

    assert of_alice(reporter) == ["one"]
    assert good_are_told(reporter)
    assert to_groups(reporter) == [ALICE, BOB, CAROL]
    assert not reporter.rows("select * from mentat_reporter.unit_retry")


# R2

AUDIT: Final = """
import runpy, sys
opened = open(sys.argv[1], "w")
sys.addaudithook(lambda what, words: what == "open" and opened.write(f"{words[0]}\\n"))
sys.argv[:] = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a program and writes down every file that it opens."""


@pytest.mark.parametrize("option", ["--template-id", "--locale", "--timezone"])
@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "x/../../x", "..", ".", "", "\n"])
def test_r2_a_name_from_elsewhere_is_refused_and_nothing_is_read(
    reporter: Reporter, option: str, name: str
) -> None:
    site(reporter, "the template above", folder="../x")
    (reporter.place / "x" / "LC_MESSAGES").mkdir()
    reporter.groups()
    reporter.store(event("one", AT))
    log = reporter.place / "opened"

    done = program(
        reporter, "--regular", "--time-high", START.isoformat(), f"{option}={name}",
        python=("-c", AUDIT, str(log)),
    )  # fmt: skip

    opened = [Path(line).resolve() for line in log.read_text().splitlines() if line.startswith("/")]
    assert len(opened) > 20  # the program itself
    assert done.returncode == 2
    assert option in done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in opened if path.is_relative_to(reporter.place / "x")]
    assert Path("/etc/passwd") not in opened
    assert (reporter.reports(), reporter.windows()) == ([], [])


CODE: Final = "{{ 1234 * 5678 }}{% for %}<script>alert(1)</script>{# #}"
RESULT: Final = str(1234 * 5678)


@pytest.mark.parametrize("looks", ["default", "another"])
def test_r2_what_looks_like_a_template_stays_the_text_it_is(reporter: Reporter, looks: str) -> None:
    every = ["Category", "Description", "Ref", "UsernameAndPassword"]
    side = ["Hostname", "MAC", "Proto", "services", "URL", "Email", "Netname", "Type"]
    shown = {"main": every, "source": side, "target": side, "attach": ["Name"]}
    known = {
        "name": CODE, "label": {"en": CODE}, "reference": "https://example.org/", "displayed": shown,
        "advice": {"en": CODE}, "rule": "Category",
    }  # fmt: skip
    reporter.groups(
        group(ALICE, "192.0.2.0/24", mode="both", template=looks), *GROUPS[1:], event_classes=[known]
    )
    fields = {name: [CODE] for name in ("Hostname", "MAC", "Proto", "URL", "Email", "Netname", "Type")}
    message = {
        "Category": [CODE], "Description": CODE, "Note": CODE, "Ref": [CODE], "TLP": CODE,
        "Node": [{"Name": CODE, "SW": [CODE]}], "Attach": [{"Name": [CODE]}],
        "Source": [{"IP4": ["192.0.2.1"], "ServiceName": CODE, "ServiceVersion": CODE, **fields}],
        "Target": [{"IP4": [CODE], **fields}],
    }  # fmt: skip
    reporter.store(event("one", AT, message=message, event_class=CODE), *GOOD)

    result = reporter.run(START)

    assert result.failures == []
    assert of_alice(reporter) == ["one"]
    assert good_are_told(reporter)
    texts = [mail.as_string() for mail in reporter.mails() if mail["To"] == ALICE]
    assert len(texts) == 2
    assert not [text for text in texts if RESULT in text]
    for mail in reporter.mails():
        if mail["To"] == ALICE:
            assert CODE.replace(" ", "") in "".join(text_of(mail).split())
            assert RESULT not in html_of(mail)
            types = [part.get_content_type() for part in mail.walk() if not part.is_multipart()]
            assert types == ["text/plain", "text/html"]
