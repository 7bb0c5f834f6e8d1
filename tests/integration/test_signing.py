"""OpenPGP signatures by a real GnuPG: they hold where mail arrives; without one it goes all the same."""

import logging
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.helpers_run import ADMIN, ALICE, BOB, MINUTE, START, Reporter, event, group, reporter
from integration.test_report_mail import Sink, sink
from strictmail import Part, read_mail

__all__ = ["reporter", "sink"]

AT = START - MINUTE
PASSPHRASE = "žluťoučký kůň %s 'x'"
GPG = shutil.which("gpg")

pytestmark = pytest.mark.skipif(GPG is None, reason="needs GnuPG: apt install gnupg")


def gpg(home: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    assert GPG
    command = (GPG, "--homedir", str(home), "--batch", "--pinentry-mode", "loopback", *arguments)
    return subprocess.run(command, capture_output=True, check=False)


@pytest.fixture(scope="module")
def keyring() -> Iterator[Path]:
    """Give a keyring of a good key, one with a passphrase, and one that has expired."""
    home = Path(tempfile.mkdtemp(prefix="gpg-", dir="/tmp"))  # a socket's path is short
    for name, *more in (
        ("plain@csirt.example", "--passphrase", ""),
        ("locked@csirt.example", "--passphrase", PASSPHRASE),
        ("old@csirt.example", "--passphrase", "", "--faked-system-time", "20200101T000000"),
    ):
        expires = "1d" if name.startswith("old") else "never"
        made = gpg(home, *more, "--quick-generate-key", f"CSIRT <{name}>", "ed25519", "sign", expires)
        assert made.returncode == 0, made.stderr
    forget_passphrases(home)
    yield home
    forget_passphrases(home)
    shutil.rmtree(home, ignore_errors=True)


def forget_passphrases(home: Path) -> None:
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=True)


def signs(reporter: Reporter, keyring: Path, key: str = "plain@csirt.example", passphrase: str = "") -> None:
    reporter.config |= {"pgp_key": key, "pgp_home": str(keyring)}
    if passphrase:
        file = reporter.place / "passphrase"
        file.write_text(f"{passphrase}\n", encoding="utf-8")
        file.chmod(0o600)
        reporter.config["pgp_passphrase_file"] = str(file)


def verified(keyring: Path, place: Path, entity: bytes, signature: bytes) -> str | None:
    """Return the fingerprint of the key whose signature it is, None if it is not good."""
    (place / "signed").write_bytes(entity)
    (place / "signature.asc").write_bytes(signature)
    found = gpg(keyring, "--status-fd", "1", "--verify", str(place / "signature.asc"), str(place / "signed"))
    lines = [line.split() for line in found.stdout.decode().splitlines()]
    good = [line[2] for line in lines if line[1] == "VALIDSIG"]
    return good[0] if good and found.returncode == 0 else None


def fingerprint(keyring: Path, key: str) -> str:
    listed = gpg(keyring, "--with-colons", "--list-keys", key).stdout.decode().splitlines()
    return next(line.split(":")[9] for line in listed if line.startswith("fpr:"))


def received(sink: Sink) -> list[Part]:
    return [read_mail(envelope.original_content or b"") for envelope in sink.envelopes]


def in_maildir(reporter: Reporter) -> list[Part]:
    """Return the mails of a maildir, which has line feeds alone."""
    files = sorted((reporter.home / "maildir" / "new").iterdir())
    return [read_mail(file.read_bytes().replace(b"\n", b"\r\n")) for file in files]


def two_groups(reporter: Reporter, **settings: object) -> None:
    reporter.groups(group(ALICE, "192.0.2.0/24", **settings), group(BOB, "198.51.100.0/24", **settings))
    reporter.store(event("one", AT), event("two", AT, "198.51.100.1"))


def test_the_signature_of_a_mail_holds_where_it_arrives(
    reporter: Reporter, sink: Sink, keyring: Path
) -> None:
    signs(reporter, keyring)
    two_groups(reporter, mode="both", attachments="all")
    reporter.store(event("dots", AT, message={"Description": "...\n.\nFrom me"}))

    result = reporter.run(START)

    assert result.failures == []
    mails = received(sink)
    assert len(mails) == 4
    key = fingerprint(keyring, "plain@csirt.example")
    for mail in mails:
        signed, signature = mail.parts
        assert mail.type == "multipart/signed"
        assert (mail.parameters["protocol"], signature.type) == ("application/pgp-signature",) * 2
        assert verified(keyring, reporter.place, signed.raw, signature.data) == key
        assert mail.parameters["micalg"] == f"pgp-{digest_of(keyring, signature.data)}"


def digest_of(keyring: Path, signature: bytes) -> str:
    """Return the digest that GnuPG finds in a signature."""
    (keyring / "listed.asc").write_bytes(signature)
    listed = gpg(keyring, "--list-packets", str(keyring / "listed.asc")).stdout.decode()
    number = listed.partition("digest algo ")[2].partition(",")[0]
    return {"8": "sha256", "9": "sha384", "10": "sha512"}[number]


@pytest.mark.parametrize("algorithm", ["SHA256", "SHA384", "SHA512"])
def test_the_digest_is_named_that_gnupg_was_told_to_use(
    reporter: Reporter, keyring: Path, algorithm: str
) -> None:
    (keyring / "gpg.conf").write_text(f"digest-algo {algorithm}\n")
    signs(reporter, keyring)
    two_groups(reporter)

    reporter.run(START)

    (keyring / "gpg.conf").unlink()
    assert {mail.parameters["micalg"] for mail in in_maildir(reporter)} == {f"pgp-{algorithm.lower()}"}


def test_one_byte_that_is_changed_breaks_the_signature(reporter: Reporter, keyring: Path) -> None:
    signs(reporter, keyring)
    reporter.groups()
    reporter.store(event("one", AT))
    reporter.run(START)

    [mail] = in_maildir(reporter)
    signed, signature = mail.parts
    for place in range(0, len(signed.raw), len(signed.raw) // 20):
        changed = bytearray(signed.raw)
        changed[place] ^= 1
        assert verified(keyring, reporter.place, bytes(changed), signature.data) is None
    assert verified(keyring, reporter.place, signed.raw, signature.data)


def test_the_admins_digest_is_signed_as_well(reporter: Reporter, sink: Sink, keyring: Path) -> None:
    signs(reporter, keyring)
    reporter.groups()
    sink.refuse = {ALICE}
    reporter.store(event("one", AT))

    reporter.run(START)

    [digest] = received(sink)
    assert dict(digest.headers)["To"] == ADMIN
    assert verified(keyring, reporter.place, digest.parts[0].raw, digest.parts[1].data)


def test_a_key_with_a_passphrase_signs_and_the_passphrase_is_seen_nowhere(
    reporter: Reporter, keyring: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stand_in(reporter, monkeypatch, f'echo "$@" >> {reporter.place}/argv\nexec {GPG} "$@"')
    signs(reporter, keyring, "locked@csirt.example", PASSPHRASE)
    two_groups(reporter)

    result = reporter.run(START)

    forget_passphrases(keyring)
    assert result.failures == []
    for mail in in_maildir(reporter):
        assert verified(keyring, reporter.place, mail.parts[0].raw, mail.parts[1].data)
    argv = (reporter.place / "argv").read_text()
    assert "--passphrase-fd 0" in argv
    assert not any("žlu" in said for said in (argv, caplog.text, repr(reporter.settings()), str(result)))


def stand_in(reporter: Reporter, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a script in the place of gpg."""
    folder = reporter.place / "bin"
    folder.mkdir()
    program = folder / "gpg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("key", "passphrase", "reason"),
    [
        ("nobody@csirt.example", "", "there is no secret key of that name"),
        ("0123456789ABCDEF0123456789ABCDEF01234567", "", "there is no secret key of that name"),
        ("old@csirt.example", "", "the key has expired, was revoked, or may not sign"),
        ("locked@csirt.example", "wrong horse", "bad passphrase; mend pgp_passphrase_file"),
        (
            "locked@csirt.example",
            "",
            "the key wants a passphrase; put it into a file that pgp_passphrase_file",
        ),
    ],
)
def test_where_the_key_cannot_sign_mail_goes_unsigned_and_the_run_names_it_once(
    reporter: Reporter,
    keyring: Path,
    caplog: pytest.LogCaptureFixture,
    key: str,
    passphrase: str,
    reason: str,
) -> None:
    signs(reporter, keyring, key, passphrase)
    two_groups(reporter, mode="both")

    result = reporter.run(START)

    assert len(result.failures) == 1
    assert result.failures[0].startswith(f"mail goes out unsigned, pgp_key {key} cannot sign: {reason}")
    assert result.exit_code == 3
    assert caplog.text.count("cannot sign") == 1
    assert not passphrase or passphrase not in caplog.text + str(result)
    mails = in_maildir(reporter)
    assert len(mails) == 4
    assert all("signed" not in str(mail.shape) for mail in mails)
    assert set(reporter.rows("select state from mentat_reporter.outbox")) == {("sent",)}


def test_another_key_never_signs_in_its_stead(reporter: Reporter, keyring: Path) -> None:
    signs(reporter, keyring, "old@csirt.example")
    reporter.groups()
    reporter.store(event("one", AT))

    reporter.run(START)

    assert [mail.type for mail in in_maildir(reporter)] != ["multipart/signed"]


def test_a_gpg_that_hangs_is_ended_and_not_asked_again(
    reporter: Reporter, keyring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mentat_reporter.signing.PATIENCE", 0.5)
    stand_in(reporter, monkeypatch, f"echo called >> {reporter.place}/calls\nexec sleep 60")
    signs(reporter, keyring)
    two_groups(reporter, mode="both")
    begun = time.monotonic()

    result = reporter.run(START)

    assert time.monotonic() - begun < 20
    [failure] = result.failures
    assert "gpg takes longer than 0.5 s" in failure
    assert len(in_maildir(reporter)) == 4
    assert (reporter.place / "calls").read_text() == "called\n"


def test_a_failure_that_passes_costs_only_its_own_mail_the_signature(
    reporter: Reporter, keyring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = reporter.place / "failed"
    once = f'case "$*" in *--detach-sign*) test -e {flag} || {{ touch {flag}; exit 2; }};; esac'
    stand_in(reporter, monkeypatch, f'{once}\nexec {GPG} "$@"')
    signs(reporter, keyring)
    two_groups(reporter)

    result = reporter.run(START)

    assert [failure.partition(": ")[2] for failure in result.failures] == ["gpg gives no reason"]
    assert sorted(mail.type == "multipart/signed" for mail in in_maildir(reporter)) == [False, True]


def test_without_gpg_without_its_module_and_without_its_folder_mail_goes_unsigned(
    reporter: Reporter, keyring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter.groups()
    for number, (broken, reason) in enumerate(
        (
            ("program", "gpg cannot be started; install GnuPG, or remove pgp_key"),
            (
                "module",
                "python-gnupg is not installed; pip install 'mentat-reporter[pgp]', or remove pgp_key",
            ),
            ("folder", "missing; make it, or mend pgp_home"),
        )
    ):
        signs(reporter, keyring if broken != "folder" else keyring / "missing")
        with monkeypatch.context() as patched:
            if broken == "program":
                patched.setenv("PATH", str(reporter.place))
            if broken == "module":
                patched.setitem(sys.modules, "gnupg", None)
            reporter.store(event(broken, START - MINUTE, f"192.0.2.{number + 1}"))
            result = reporter.ad_hoc(START - 10 * MINUTE, START)
        [failure] = result.failures
        assert reason in failure
    assert len(in_maildir(reporter)) == 3


def test_a_dry_run_signs_nothing(reporter: Reporter, keyring: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(reporter, monkeypatch, f"touch {reporter.place}/called; exit 2")
    signs(reporter, keyring)
    two_groups(reporter)

    result = reporter.run(START, dry_run=True)

    assert result.failures == []
    assert len(result.plans) == 2
    assert not (reporter.place / "called").exists()
