"""The house as it is today: groups, networks, rules, classes, and how reports look and are sent.

Made when the first event comes; a run without events never needs it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from email.utils import parseaddr
from functools import cached_property
from secrets import token_hex
from typing import Any, Final

from mentat_reporter.core.intake import FilterRule, RuleBook
from mentat_reporter.core.model import ATTACHMENT_KINDS, MODES, EventClass, Group
from mentat_reporter.core.ownership import Ownership
from mentat_reporter.core.recipients import MailRules
from mentat_reporter.core.report import Desk, Look
from mentat_reporter.errors import RuleError
from mentat_reporter.filters.compile import compile_rule, compile_values
from mentat_reporter.filters.patience import SlowRuleError
from mentat_reporter.render.addresses import parse_addresses
from mentat_reporter.render.eventclasses import ClassFolders
from mentat_reporter.render.i18n import is_locale, is_template, is_timezone
from mentat_reporter.render.message import Frame
from mentat_reporter.render.templates import Templates
from mentat_reporter.settings import Settings
from mentat_reporter.store import groups
from mentat_reporter.store.connection import Connection

Quarantine = Callable[[str, str, str, int], None]
"""Keep what cannot be used: kind, reference, error, count."""
Fail = Callable[[str], None]

ALL: Final = "(all groups)"


class Today:
    """What the main database says today, checked and compiled once a run."""

    def __init__(
        self, settings: Settings, main: Connection, now: datetime, quarantine: Quarantine, fail: Fail
    ) -> None:
        self.settings = settings
        self.now = now
        self._quarantine = quarantine
        self._fail = fail
        self.house = groups.load(main, now)
        main.rollback()
        for fault in self.house.faults:
            self._bad(fault.kind, fault.reference, fault.error)

    def _bad(self, kind: str, reference: str, error: str, count: int = 1) -> None:
        self._quarantine(kind, reference, error, count)
        self._fail(f"{kind} {reference}: {error}")

    def settle(self) -> None:
        """Make all that names what it cannot use, before processes part that would each name it."""
        _ = (self.ownership, self.rules, self._subclassing, self.desk, self.templates, self.frame)

    @cached_property
    def ownership(self) -> Ownership:
        return Ownership(self.house.networks)

    @cached_property
    def rules(self) -> RuleBook:
        compiled = []
        for rule in self.house.rules:
            try:
                matches = compile_rule(rule.text, self.settings.reporter.filter_language, self.now)
            except RuleError as error:
                self._rule_off(rule.group, rule.name, f"does not compile and is not applied: {error}")
            else:
                compiled.append(
                    FilterRule(
                        rule.id, rule.name, rule.group, "source" if rule.source_based else "target", matches
                    )
                )
        return RuleBook(compiled)

    def _rule_off(self, group: str, name: str, error: str, count: int = 1) -> None:
        # the lines after the first show the place in the rule's text, which is too much for a cron mail
        self._bad("filter", f"'{name}' of {group or ALL}", error.splitlines()[0], count)

    def name_rule_failures(self) -> None:
        """Say which rules failed on events; they were not applied there."""
        for (group, name), (error, count) in sorted(self.rules.failures.items()):
            self._rule_off(group, name, f"was not applied where it failed: {error}", count)
        self.rules.failures.clear()

    @cached_property
    def _subclassing(self) -> dict[str, Callable[[Mapping[str, Any]], list[str]]]:
        found = {}
        for name, event_class in self.house.event_classes.items():
            if not event_class.subclassing.strip():
                continue
            try:
                found[name] = compile_values(
                    event_class.subclassing, self.settings.reporter.filter_language, self.now
                )
            except RuleError as error:
                self._bad("filter", f"subclassing of event class {name}", f"does not compile: {error}")
        return found

    def subclasses(self, name: str, message: Mapping[str, Any]) -> list[str]:
        """Return a message's subclasses by its class's own expression.

        Where that fails the class alone stands, and the failure is counted in quarantine. An expression that
        is too slow is off, which the run names.
        """
        expression = self._subclassing.get(name)
        if expression is None:
            return []
        try:
            return expression(message)
        except SlowRuleError as error:
            self._bad("filter", f"subclassing of event class {name}", str(error))
            return []
        except RuleError as error:
            reason = f"failed on an event: {str(error).splitlines()[0]}"
            self._quarantine("filter", f"subclassing of event class {name}", reason, 1)
            return []

    # How reports look and who gets them

    @cached_property
    def groups(self) -> Mapping[str, Group]:
        return {name: self._checked(group) for name, group in self.house.groups.items()}

    def _checked(self, group: Group) -> Group:
        """Put the default in the place of what no report can use; name it with the cure."""
        sites = tuple(filter(None, (self.settings.reporter.templates_dir,)))
        for name, known in (
            ("mode", MODES.__contains__),
            ("locale", lambda value: is_locale(value, self.settings.reporter.templates_dir)),
            ("timezone", is_timezone),
            ("template", lambda value: is_template(value, sites)),
            ("attachments", ATTACHMENT_KINDS.__contains__),
        ):
            value = getattr(group, name)
            if value is not None and not known(value):
                self._bad("group", group.name, f"{name} '{value}' is not known; the default is used")
                group = replace(group, **{name: None})  # type: ignore[arg-type] # all may be None
        if group.max_attachment_size is not None and group.max_attachment_size < 0:
            size = group.max_attachment_size
            self._bad("group", group.name, f"max_attachment_size {size} is below 0; the default is used")
            group = replace(group, max_attachment_size=None)
        emails = {}
        for severity, written in group.emails.items():
            good, bad = parse_addresses(written)
            for address in bad:
                self._bad(
                    "group", group.name, f"emails of {severity}: {address!r} is no address, it is left out"
                )
            if good:
                emails[severity] = tuple(good)
        return replace(group, emails=emails)

    @property
    def _nonce(self) -> str:
        """A rehearsal of a regular run has that run's labels; of an ad hoc run the same ones each time."""
        run = self.settings.run
        if replace(self.settings, run=replace(run, dry_run=False)).moves_state:
            return ""
        return "dry run" if run.dry_run else token_hex(8)

    @cached_property
    def desk(self) -> Desk:
        reporter, mail = self.settings.reporter, self.settings.mail
        forced = {
            "template": reporter.force_template,
            "locale": reporter.force_locale,
            "timezone": reporter.force_timezone,
            "attachments": reporter.force_attachments,
            "max_attachment_size": reporter.force_max_attachment_size,
        }
        return Desk(
            groups=self.groups,
            mail_rules=MailRules(
                default_mode=reporter.default_mode,
                force_mode=reporter.force_mode,
                fallback=reporter.fallback,
                admin=mail.admin,
                test_mode=mail.test_mode,
                to=mail.to,
                cc=mail.cc,
                bcc=mail.bcc,
            ),
            created=self.now,
            test_data=self.settings.run.test_data,
            nonce=self._nonce,
            default_look=Look(
                reporter.default_template,
                reporter.default_locale,
                reporter.default_timezone,
                reporter.default_attachments,
                max_attachment_size=reporter.default_max_attachment_size,
            ),
            force_look={name: value for name, value in forced.items() if value is not None},
        )

    @cached_property
    def _class_folders(self) -> ClassFolders:
        def tell(reference: str, error: str) -> None:
            self._bad("template", reference, error)

        return ClassFolders(self.settings.reporter.event_classes_dir, tell)

    @cached_property
    def event_classes(self) -> Mapping[str, EventClass]:
        """What reports say of event classes: the database's words, with those of a site's folders."""
        return self._class_folders.applied_to(self.house.event_classes)

    @cached_property
    def templates(self) -> Templates:
        reporter, mail = self.settings.reporter, self.settings.mail
        contact = mail.reply_to[0] if mail.reply_to else parseaddr(mail.sender)[1]
        return Templates(
            reporter.templates_dir, reporter.template_vars, self.event_classes,
            contact=contact, reports_url=reporter.reports_url, folders=self._class_folders,
        )  # fmt: skip

    @cached_property
    def frame(self) -> Frame:
        mail = self.settings.mail
        return Frame(
            mail.sender, mail.reply_to, mail.return_path, mail.message_id_domain, mail.subject, mail.test_mode
        )
