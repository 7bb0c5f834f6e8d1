"""Who wants a report and who gets it. docs/semantics.md."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mentat_reporter.core.model import SEVERITIES, Chain, Group, MailPlan, Mode, ReportType, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class MailRules:
    """What the configuration and the command line say about who gets mail."""

    default_mode: Mode = "summary"
    force_mode: Mode | None = None
    fallback: tuple[str, ...] = ()
    admin: tuple[str, ...] = ()
    test_mode: bool = False
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()

    def mode_of(self, group: Group) -> Mode:
        return self.force_mode or group.mode or self.default_mode


def _wants(mode: Mode, report_type: ReportType) -> bool:
    if report_type == "target":
        return mode != "none"
    return mode in (report_type, "both")


def wanting(groups: Iterable[Group], report_type: ReportType, rules: MailRules) -> list[Group]:
    """Return the groups whose mode asks for such a report, muted ones too, in order."""
    return [group for group in groups if _wants(rules.mode_of(group), report_type)]


def _lists(groups: Iterable[Group], severity: Severity) -> list[tuple[str, ...]]:
    """Return the groups' address lists, in order, each from the severity downward."""
    downward = SEVERITIES[SEVERITIES.index(severity) :: -1]
    return [group.emails.get(level, ()) for group in groups for level in downward]


def _distribute(lists: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Make the first list that is not empty To, every further address once Cc."""
    filled = [addresses for addresses in lists if addresses]
    if not filled:
        return (), ()
    to = tuple(dict.fromkeys(filled[0]))
    further = (address for addresses in filled[1:] for address in addresses)
    return to, tuple(address for address in dict.fromkeys(further) if address not in to)


def _found(
    chain: Sequence[Group], fallbacks: Sequence[Group], severity: Severity, rules: MailRules
) -> MailPlan:
    to, cc = _distribute(_lists(chain, severity))
    if to:
        return MailPlan(to, cc)
    to, cc = _distribute(_lists(fallbacks, severity))
    if to:
        return MailPlan(to, cc, fallback="groups")
    return MailPlan(rules.fallback, (), fallback="global")


def plan_mail(
    report_type: ReportType,
    severity: Severity,
    chain: Chain,
    fallbacks: Chain,
    find: Callable[[str], Group],
    rules: MailRules,
) -> MailPlan | None:
    """Return who gets a report; None if nobody wants it by mail.

    With nobody to be found at all the plan has no recipients, which the caller must say.
    """
    candidates = wanting([find(name) for name in chain], report_type, rules)
    listening = [group for group in candidates if not group.mute]
    if not listening:
        return None
    plan = _found(listening, [find(name) for name in fallbacks], severity, rules)
    if rules.test_mode:
        return plan._replace(redirected_to=rules.to or rules.admin)
    if listening[0].redirect:
        # without an admin nobody gets it, which the caller says; never those who are to be spared
        return plan._replace(redirected_to=rules.admin) if rules.admin else MailPlan((), ())
    if rules.to:
        plan = plan._replace(to=rules.to, cc=())
    if rules.cc:
        plan = plan._replace(cc=rules.cc)
    return plan._replace(bcc=rules.bcc)


def settings_group(
    report_type: ReportType, chain: Chain, groups: Mapping[str, Group], rules: MailRules
) -> Group | None:
    """Return the group whose template, language and zone a report has: the first that wants it."""
    members = [groups[name] for name in chain if name in groups]
    candidates = wanting(members, report_type, rules)
    listening = [group for group in candidates if not group.mute]
    return next(iter(listening or candidates or members), None)
