"""Much takes a short way through the sandbox; it must come out as Jinja2's own does."""

from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from mentat_reporter.render.i18n import Reader, translations
from mentat_reporter.render.sandbox import sandbox

PHRASES = (
    '{{ _("Report") }}',
    '{{ gettext("Report") }}',
    '{{ _("%(label)s: %(text)s", label=foreign, text="&") }}',
    '{{ _("<b>100%%</b>") }}',
    '{{ _("<b>100%%</b> %(number)d", number=7) }}',
    "{% trans %}New problems{% endtrans %}",
    "{% trans label=foreign %}<i>{{ label }}</i>{% endtrans %}",
    "{% trans count=2, number=foreign %}{{ number }} event{% pluralize %}{{ number }} events{% endtrans %}",
    "{% for number in [1, 2] %}{% set own = number %}{{ _('%(number)s', number=own) }}{% endfor %}",
    "{% block one scoped %}{{ _('Report') }}{{ _(foreign) }}{% endblock %}",
    '{{ ["Report", "Events"] | map("upper") | join(_("<br>")) }}',
    '{{ _("%(label)r, %(label)10s, %(number)03d", label=foreign, number=7) }}',
    '{{ _("%(label)s is %(label)s of 100%%", label=_("<b>Report</b>")) }}',
    '{{ _("%(number)s", number=7) }}',
    '{{ foreign }}{{ _("<b>") }}{{ foreign | upper }}{{ 7 }}{{ none }}{{ [foreign] }}',
    '{{ "&amp;" }}{{ "&" | escape }}{{ ("&" | escape) | string }}{{ "&" | escape | striptags }}',
    "{% set kept %}{{ foreign }}{% endset %}{{ kept }}{{ kept ~ foreign }}",
    '{% autoescape false %}{{ foreign }}{{ _("<b>") }}{% endautoescape %}{{ foreign }}',
    "{% for one in 'abc' %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{% endfor %}",
    "{% for one in 'abc' %}{{ loop.length }}{{ loop.previtem is defined }}{{ loop.cycle(1, 2) }}{% endfor %}",
    "{% macro said(text) %}{{ _(text) }}{% endmacro %}{{ said(foreign) }}{{ said('Report') }}",
    '{{ [foreign, "b"] | list | join(", ") }}{{ foreign | list | first }}{{ "aab" | unique | join }}',
    '{{ [{"a": 0}, {"a": foreign}] | selectattr("a") | map(attribute="a") | join }}{{ [1, 2] | sum }}',
    '{% autoescape false %}{{ [foreign, "<i>"] | join("<br>") }}{% endautoescape %}',
    '{{ "abcd" | slice(2) | list }}{{ "abc" | select("in", "b") | list }}{{ [0, 1] | reject | list }}',
    '{{ [["b"], ["a"], ["b"]] | groupby(0) | map("first") | join }}{{ [{"a": 0}] | rejectattr("a") | list }}',
    "{% for one in 'abc' %}{{ loop['index'] }}{{ loop['first'] }}{{ loop['length'] }}{% endfor %}",
)
FOREIGN = "<script>&'\""


def filled(environment: Any, name: str) -> list[str]:
    template = environment.get_template(name)
    return [template.render(foreign=FOREIGN) for _ in range(2)]


@pytest.mark.parametrize("locale", ["en", "cs"])
@pytest.mark.parametrize("name", ["phrase.txt", "phrase.html"])
@pytest.mark.parametrize("phrase", PHRASES)
def test_a_phrase_is_said_as_jinja_says_it(phrase: str, name: str, locale: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(phrase)
    catalogue = translations(locale)
    usual = Environment(
        loader=FileSystemLoader(tmp_path),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["html"]),
        extensions=["jinja2.ext.i18n"],
    )
    usual.install_gettext_translations(catalogue, newstyle=True)  # type: ignore[attr-defined]

    ours = sandbox([tmp_path], catalogue, Reader(locale, "UTC"))

    assert filled(ours, name) == filled(usual, name)


def test_a_template_is_compiled_once_for_all_languages_and_still_speaks_each(tmp_path: Path) -> None:
    (tmp_path / "facts.txt").write_text('{{ 12345.5 | number }} {{ [("a", "b")] | facts }} {{ _("Report") }}')

    spoken = {}
    for locale in ("en", "cs", "fr"):
        template = sandbox([tmp_path], translations(locale), Reader(locale, "UTC")).get_template("facts.txt")
        spoken[template.render()] = template.root_render_func.__code__

    assert list(spoken) == [
        "12,345.5   a:  b Report",
        "12\xa0345,5   a:  b Hlášení",
        "12\u202f345,5   a\u202f:  b Signalement",
    ]
    assert len({id(code) for code in spoken.values()}) == 1


def test_a_template_that_was_changed_is_compiled_again(tmp_path: Path) -> None:
    for text in ("one", "two"):
        (tmp_path / "word.txt").write_text(text)
        ours = sandbox([tmp_path], translations("en"), Reader("en", "UTC"))

        assert ours.get_template("word.txt").render() == text


@pytest.mark.parametrize(
    "phrase", ['{{ _("%") }}', '{{ _("%(missing)s") }}', "{{ _() }}", "{{ _(nothing) }}"]
)
def test_a_phrase_that_cannot_be_said_fails_as_in_jinja(phrase: str, tmp_path: Path) -> None:
    (tmp_path / "phrase.txt").write_text(phrase)
    ours = sandbox([tmp_path], translations("en"), Reader("en", "UTC")).get_template("phrase.txt")

    for _ in range(2):
        with pytest.raises(Exception, match=r"."):
            ours.render()
