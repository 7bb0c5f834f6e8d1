"""Reporters that mail by a server of their test, and what arrived there."""

from collections import Counter
from email.parser import BytesHeaderParser

from integration.conftest_delivery import Actor
from integration.helpers_run import Reporter


def mailed_by(reporter: Reporter, server: Actor) -> None:
    """Let the reporter's next runs mail by this server."""
    reporter.config |= {"mail_transport": "smtp", "smtp_host": "127.0.0.1", "smtp_port": server.port}


def arrivals(server: Actor) -> Counter[str]:
    """Count the mails of reports, not the admin's digests, that a server took, by Message-ID."""
    parser = BytesHeaderParser()
    found = [parser.parsebytes(content) for content in server.mails]
    return Counter(str(mail["Message-ID"]) for mail in found if mail["X-Mentat-Report-Class"] != "digest")
