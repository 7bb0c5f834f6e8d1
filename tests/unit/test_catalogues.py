"""The six languages: complete catalogues, what is checked of them, dates and numbers as each writes them."""

import json
import re
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from babel.messages import Catalog, Message
from babel.messages.pofile import read_po
from factories import CLASSES, HI, compiled_catalogues, report
from hypothesis import given
from hypothesis import strategies as st

from mentat_reporter.core.model import Counters, ReportType
from mentat_reporter.errors import TemplateError
from mentat_reporter.render import catalogues
from mentat_reporter.render.i18n import Reader, known_locales, translations
from mentat_reporter.render.shipped import shipped_templates
from mentat_reporter.render.templates import Templates

LANGUAGES: Final = ("cs", "de", "fr", "pl", "sk")
NARROW: Final = "\N{NARROW NO-BREAK SPACE}"
BOUND: Final = "\N{NO-BREAK SPACE}"
DASH: Final = "\N{EN DASH}"


@pytest.fixture(scope="module", autouse=True)
def _catalogues() -> None:
    compiled_catalogues()


# What is shipped


def test_six_languages_are_shipped() -> None:
    assert known_locales() == ("cs", "de", "en", "fr", "pl", "sk")


def test_every_string_is_translated_into_every_language_and_nothing_is_wrong_with_it() -> None:
    assert "\n".join(catalogues.check(shipped_templates())) == ""


def test_update_changes_nothing_when_nothing_changed(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shipped_templates(), tmp_path / "templates"))

    updated = catalogues.update(copy)

    assert [path.parents[1].name for path in updated] == list(LANGUAGES)
    for path in updated:
        assert path.read_bytes() == (shipped_templates() / path.relative_to(copy)).read_bytes()


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_catalogue_begins_with_its_terms(language: str) -> None:
    text = (shipped_templates() / "locale" / language / "LC_MESSAGES" / "messages.po").read_text("utf-8")

    for term in ("report", "event", "address", "class", "severity", "detector", "threshold"):
        assert re.search(rf"^# {term}: ", text, re.MULTILINE)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_catalogue_repeats_the_english(language: str) -> None:
    catalogue = translations(language)

    for sentence in ("What to do", "New problems", "This message was written and sent automatically."):
        assert catalogue.gettext(sentence) != sentence


@pytest.mark.parametrize("language", LANGUAGES)
def test_only_french_puts_a_blank_before_double_signs_and_it_is_a_narrow_one_that_binds(
    language: str,
) -> None:
    text = (shipped_templates() / "locale" / language / "LC_MESSAGES" / "messages.po").read_text("utf-8")
    strings = re.findall(r'^(?:msgstr.*|"[^"]*)"$', text.partition("\n\n")[2], re.MULTILINE)
    translated = "\n".join(line for line in strings if line.startswith("msgstr"))

    before = set(re.findall(r"(.)[:;?!](?:[ \"]|$)", translated))

    assert before
    assert (before == {NARROW}) is (language == "fr")
    assert language != "fr" or "'" not in translated


@pytest.mark.parametrize("language", ["cs", "pl", "sk"])
def test_no_line_ends_after_a_word_of_one_letter(language: str) -> None:
    text = (shipped_templates() / "locale" / language / "LC_MESSAGES" / "messages.po").read_text("utf-8")
    translated = [string for message in read_po(text.splitlines()) for string in words_of(message)]

    assert [
        string for string in translated if re.search(r"(?<![)\w])[aikosuvwz] ", string, re.IGNORECASE)
    ] == []


def words_of(message: Message) -> tuple[str, ...]:
    return tuple(message.string) if isinstance(message.string, list | tuple) else (str(message.string),)


# What is checked of a catalogue

TEMPLATE: Final = Catalog()
TEMPLATE.add("Report %(name)s")
TEMPLATE.add("By the way")
TEMPLATE.add(("- %(number)s event", "- %(number)s events"))

HEADER: Final = """msgid ""
msgstr ""
"Language: cs\\n"
"Plural-Forms: nplurals=3; plural=((n==1) ? 0 : (n>=2 && n<=4) ? 1 : 2);\\n"
"Content-Type: text/plain; charset=utf-8\\n"

"""
CZECH: Final = f"""{HEADER}
msgid "Report %(name)s"
msgstr "Hlášení %(name)s"

msgid "By the way"
msgstr "Mimochodem"

msgid "- %(number)s event"
msgid_plural "- %(number)s events"
msgstr[0] "- %(number)s událost"
msgstr[1] "- %(number)s události"
msgstr[2] "- %(number)s událostí"
"""
PLURAL: Final = "('- %(number)s event', '- %(number)s events')"


def faults(text: str, folder: Path, language: str = "cs") -> list[str]:
    path = folder / "messages.po"
    path.write_text(text, encoding="utf-8")
    return list(catalogues.faults_of(path, language, TEMPLATE))


def test_a_complete_catalogue_has_no_fault(tmp_path: Path) -> None:
    assert faults(CZECH, tmp_path) == []


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        pytest.param('"Mimochodem"', '""', "no translation of 'By the way'", id="empty"),
        pytest.param('msgid "By', 'msgid "On', "no translation of 'By the way'", id="missing"),
        pytest.param(
            "Mimochodem", "Mimo chodem ", "'By the way': dashes, blanks or newlines", id="blank at end"
        ),
        pytest.param(
            "Mimochodem", " Mimochodem", "'By the way': dashes, blanks or newlines", id="blank before"
        ),
        pytest.param("Mimochodem", "Mimochodem\\n", "'By the way': dashes, blanks or newlines", id="newline"),
        pytest.param("- %(number)s události", "%(number)s události", f"{PLURAL}: dashes", id="dash"),
        pytest.param("Mimochodem", "Mimo <b>chodem", "'By the way': < > would become HTML", id="tag"),
        pytest.param("Mimochodem", "Mimo & chodem", "'By the way': & would become HTML", id="ampersand"),
        pytest.param("Mimochodem", 'Mimo \\"chodem', "'By the way': \" would become HTML", id="quote"),
        pytest.param("Mimochodem", "Na 100 %", "'By the way': a single % in 'Na 100 %'", id="percent"),
        pytest.param("Mimochodem", "%(x)s", "'By the way': placeholders differ in '%(x)s'", id="invented"),
        pytest.param(' %(name)s"\n\n', ' %(jméno)s"\n\n', "'Report %(name)s': placeholders", id="renamed"),
        pytest.param('- %(number)s události"', '- události"', f"{PLURAL}: placeholders", id="in a plural"),
        pytest.param(
            'msgstr[2] "- %(number)s událostí"\n', "", f"no translation of {PLURAL}", id="few forms"
        ),
        pytest.param(
            "msgstr[2]", 'msgstr[3] "- %(number)s"\nmsgstr[2]', "messages.po cannot be read", id="many forms"
        ),
        pytest.param("nplurals=3", "nplurals=2", "messages.po cannot be read", id="forms and header"),
        pytest.param("n<=4", "n<=5", "plural forms are not those of the language", id="another rule"),
        pytest.param("(n>=2", "(system(n)", "plural forms are not those of the language", id="no rule"),
        pytest.param("\nmsgid", "\nnonsense\nmsgid", "messages.po cannot be read", id="syntax"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, before: str, after: str, fault: str) -> None:
    broken = CZECH.replace(before, after) if before in CZECH else ""

    found = faults(broken, tmp_path)

    assert broken not in {"", CZECH}
    assert any(one.startswith(fault) for one in found), found


def test_a_fuzzy_translation_is_named(tmp_path: Path) -> None:
    text = CZECH.replace('msgid "By the way"', '#, fuzzy\nmsgid "By the way"')

    assert faults(text, tmp_path) == ["fuzzy translation of 'By the way'"]


@pytest.mark.parametrize("mark", ["", "#~ "])
def test_an_obsolete_translation_is_named(tmp_path: Path, mark: str) -> None:
    text = f'{CZECH}\n{mark}msgid "Farewell"\n{mark}msgstr "Sbohem"\n'

    assert faults(text, tmp_path) == ["obsolete translation of 'Farewell'"]


def test_the_catalogue_of_another_language_is_named_by_its_plural_forms(tmp_path: Path) -> None:
    [fault] = faults(CZECH, tmp_path, "pl")

    assert fault.startswith("plural forms are not those of the language: nplurals=3; plural=(n==1 ?")


def test_every_language_is_checked_against_the_templates(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shipped_templates(), tmp_path / "templates"))
    (copy / "default" / "new.txt").write_text("{% trans %}Never seen before{% endtrans %}")

    found = [fault for fault in catalogues.check(copy) if "Never seen before" in fault]

    assert found == [f"{language}: no translation of 'Never seen before'" for language in LANGUAGES]


def test_a_source_that_would_become_html_is_named(tmp_path: Path) -> None:
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "new.txt").write_text("{% trans %}R&D{% endtrans %}")

    assert catalogues.check(tmp_path) == ["source: 'R&D': & would become HTML in 'R&D'"]


# What readers get


FILTERED: Final = (
    "- %(number)s event that your filtering rules removed",
    "- %(number)s events that your filtering rules removed",
)


@pytest.mark.parametrize(
    ("language", "plurals"),
    [
        ("cs", ["0 událostí", "1 událost,", "2 události,", "4 události,", "5 událostí,", "22 událostí,"]),
        ("de", ["0 Ereignisse,", "1 Ereignis,", "2 Ereignisse,", "22 Ereignisse,"]),
        ("fr", ["0 événement ", "1 événement ", "2 événements ", "22 événements "]),
        ("pl", ["0 zdarzeń", "1 zdarzenie", "2 zdarzenia", "5 zdarzeń", "12 zdarzeń", "22 zdarzenia"]),
        ("sk", ["0 udalostí", "1 udalosť,", "2 udalosti,", "4 udalosti,", "5 udalostí,", "22 udalostí,"]),
    ],
)
def test_each_language_counts_as_its_speakers_do(language: str, plurals: list[str]) -> None:
    for beginning in plurals:
        number = int(beginning.split()[0])
        sentence = translations(language).ngettext(*FILTERED, number) % {"number": number}

        assert sentence.startswith(f"- {beginning}")


@pytest.mark.parametrize(
    ("language", "subject"),
    [
        ("en", "High - Notice about possible attacks against your network"),
        ("cs", "Vysoká závažnost - Upozornění na možné útoky proti vaší síti"),
        ("de", "Schweregrad hoch - Hinweis auf mögliche Angriffe gegen Ihr Netz"),
        ("fr", "Gravité élevée - Signalement de possibles attaques contre votre réseau"),
        ("pl", "Wysoki poziom zagrożenia - Powiadomienie o możliwych atakach na Państwa sieć"),
        ("sk", "Vysoká závažnosť - Upozornenie na možné útoky proti vašej sieti"),
    ],
)
def test_a_subject_is_a_sentence_of_its_language(language: str, subject: str) -> None:
    told = replace(report("target", severity="high"), locale=language)

    assert Templates(None, {}, CLASSES).render(told).subject == subject


AUTUMN: Final = datetime(2026, 9, 3, 12, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("language", "day", "short"),
    [
        ("en", "3 Sept 2026", "3 Sept 14:05:00"),
        ("cs", "3. 9. 2026", "3. 9. 14:05:00"),
        ("de", "3. Sept. 2026", "3. Sept. 14:05:00"),
        ("fr", "3 sept. 2026", "3 sept. 14:05:00"),
        ("pl", "3 wrz 2026", "3 wrz 14:05:00"),
        ("sk", "3. 9. 2026", "3. 9. 14:05:00"),
    ],
)
class TestTimes:
    def test_are_written_as_usual_in_the_language_with_the_offset_of_the_zone(
        self, language: str, day: str, short: str
    ) -> None:
        reader = Reader(language, "Europe/Berlin")
        later = AUTUMN + timedelta(seconds=7)

        assert plain(reader.date(date(2026, 9, 3))) == day
        assert plain(reader.minute(AUTUMN)) == f"{day} 14:05"
        assert plain(reader.moment(later)) == f"{day} 14:05:07 UTC+02:00"
        assert plain(reader.short(AUTUMN, later)) == short
        assert plain(reader.short(AUTUMN, HI)) == f"{short} UTC+02:00"  # HI is in winter
        assert plain(reader.span(AUTUMN, later)) == f"{day} 14:05 {DASH} {day} 14:05:07 (UTC+02:00)"

    def test_of_another_year_carry_it(self, language: str, day: str, short: str) -> None:
        shown = plain(Reader(language, "UTC").short(AUTUMN, AUTUMN + timedelta(days=365)))

        assert (shown, short[-8:]) == (f"{day} 12:05:00", "14:05:00")

    def test_over_the_end_of_summer_time_tell_both_hours_apart(
        self, language: str, day: str, short: str
    ) -> None:
        reader = Reader(language, "Europe/Warsaw")
        turn = datetime(2026, 10, 25, 1, tzinfo=UTC)

        first, second = (reader.moment(turn + timedelta(minutes=minutes)) for minutes in (-30, 30))
        span = reader.span(turn - timedelta(minutes=30), turn + timedelta(minutes=30))

        assert first.removesuffix("UTC+02:00") == second.removesuffix("UTC+01:00")
        assert span.endswith("02:30 (UTC+01:00)")
        assert "02:30 (UTC+02:00)" in span
        assert day
        assert short

    def test_are_not_torn_inside_of_a_day(self, language: str, day: str, short: str) -> None:
        shown = Reader(language, "UTC").minute(AUTUMN)

        assert language == "en" or shown.split(" ") == [day.replace(" ", BOUND), "12:05"]
        assert short


def plain(text: str) -> str:
    return text.replace(BOUND, " ")


@pytest.mark.parametrize(
    ("language", "thousand", "million", "part", "size"),
    [
        ("en", "1,234", "1,234,567", "0.25", f"1.2{BOUND}MB"),
        ("cs", f"1{BOUND}234", f"1{BOUND}234{BOUND}567", "0,25", f"1,2{BOUND}MB"),
        ("de", "1.234", "1.234.567", "0,25", f"1,2{BOUND}MB"),
        ("fr", f"1{NARROW}234", f"1{NARROW}234{NARROW}567", "0,25", f"1,2{BOUND}Mo"),
        ("pl", "1234", f"1{BOUND}234{BOUND}567", "0,25", f"1,2{BOUND}MB"),
        ("sk", f"1{BOUND}234", f"1{BOUND}234{BOUND}567", "0,25", f"1,2{BOUND}MB"),
    ],
)
def test_numbers_and_sizes_are_written_as_usual_in_the_language(
    language: str, thousand: str, million: str, part: str, size: str
) -> None:
    reader = Reader(language, "UTC")

    assert reader.number(999) == "999"
    assert reader.number(1234) == thousand
    assert reader.number(-1234) == f"-{thousand}"
    assert reader.number(1234567) == million
    assert reader.number(0.25) == part
    assert reader.number(1234.25) == thousand + part[1:]
    assert reader.size(1_234_567) == size


@given(number=st.integers(-(10**15), 10**15), language=st.sampled_from(("en", *LANGUAGES)))
def test_no_digit_of_a_number_is_lost(number: int, language: str) -> None:
    assert int(re.sub(r"[^\d-]", "", Reader(language, "UTC").number(number))) == number


@pytest.mark.parametrize("kind", ["summary", "extra", "target"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_english_sentence_is_left_in_a_mail(language: str, kind: ReportType) -> None:
    counters = Counters(rep=9, all=9, flt_blk=2, thr_blk=3, det_blk=4)
    told = report(kind, counters=counters, held_until=HI + timedelta(days=6), test_data=True)

    rendered = Templates(None, {}, CLASSES, contact="csirt@x.example").render(replace(told, locale=language))

    words = f"{rendered.subject}\n{rendered.text}"
    for english in ("the", "of", "Events", "Report", "before", "your", "events", "problems", "attacks"):
        assert not re.search(rf"\b{english}\b", words), english


def test_the_sample_groups_read_all_languages_and_its_classes_speak_them() -> None:
    sample = json.loads((Path(__file__).parents[2] / "etc/sample/groups.json").read_text("utf-8"))

    assert {group["settings"].get("locale", "en") for group in sample["groups"]} == {"en", *LANGUAGES}
    for known in sample["event_classes"]:
        assert {*known["label"]} == {*known["advice"]} == {"en", *LANGUAGES}, known["name"]


def test_an_unknown_locale_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(TemplateError, match=r"locale 'xx' is not known; there are: cs, de, en, fr, pl, sk"):
        translations("xx")
