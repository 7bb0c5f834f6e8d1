"""The kinds of trouble that the benchmarks' events tell of, as detectors write them."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final, NamedTuple

Section = dict[str, Any]

SURVEY: Final = (
    '"timestamp","ip","protocol","port","hostname","tag","version","asn","geo","region","city","naics",'
    '"sic","server_name","cipher_suite","cert_length","issuer","sector"\n'
)
USERS: Final = ("root", "admin", "test", "oracle", "ubuntu", "postgres", "git", "pi")


class Trouble(NamedTuple):
    """What is said of addresses. With `target` they are those attacked."""

    event_class: str
    category: str
    description: str
    detector: str
    software: str
    fill: Callable[[Section, Random], Section]
    """Adds to the section of the addresses what is known of them, and returns the rest of the message."""
    target: bool = False


def foreign(draw: Random, count: int) -> Section:
    """Return a section of so many addresses that are nobody's."""
    start = draw.randrange(200)
    return {"IP4": [f"198.51.{draw.randrange(100, 120)}.{start + number}" for number in range(count)]}


def _scan(section: Section, draw: Random) -> Section:
    port = draw.choice((22, 23, 80, 443, 445, 3389, 5060, 8080, 8443))
    section |= {"Proto": ["tcp"], "Port": [draw.randrange(1024, 65536)]}
    return {
        "ConnCount": draw.randrange(50, 2000), "FlowCount": draw.randrange(50, 2000),
        "Target": [foreign(draw, draw.randrange(8, 25)) | {"Port": [port], "Proto": ["tcp"]}],
    }  # fmt: skip


def _login(section: Section, draw: Random) -> Section:
    section |= {"Proto": ["tcp", "ssh"], "Port": [draw.randrange(1024, 65536)]}
    tried = draw.sample(USERS, 5)
    there = {"Port": [22], "Proto": ["tcp", "ssh"], "Hostname": ["pot.example.net"]}
    return {
        "ConnCount": draw.randrange(3, 300),
        "Target": [foreign(draw, 1) | there],
        "Attach": [{"Note": "Usernames", "Content": "\n".join(tried), "ContentType": "text/plain"}],
    }  # fmt: skip


def _open(section: Section, draw: Random) -> Section:
    port, service = draw.choice(((53, "domain"), (123, "ntp"), (161, "snmp"), (11211, "memcached")))
    section |= {"Proto": ["udp", service], "Port": [port], "ASN": [64512]}
    row = f'"2026-05-04 11:00:02",,udp,{port},host.example.net,open-{service},,64512,ZZ,Region,City,0,0,,,,,'
    return {
        "ByteCount": draw.randrange(1000, 90_000), "Ref": [f"malid:open-{service}"],
        "Attach": [{"Type": ["OrigData"], "Content": SURVEY + row}], "Target": [{"Proto": ["udp", service]}],
    }  # fmt: skip


def _config(section: Section, draw: Random) -> Section:
    section |= {"Proto": ["tcp", "https"], "Port": [draw.choice((443, 8443, 993))], "ASN": [64512]}
    section |= {"Note": [f"CN=host{draw.randrange(500)}"]}
    return {"Ref": ["cve:CVE-2014-3566"], "Attach": [{"Type": ["OrigData"], "Content": SURVEY}]}


def _spam(section: Section, draw: Random) -> Section:
    section |= {"Proto": ["tcp", "smtp"], "Email": [f"lottery{draw.randrange(90)}@mx.example.net"]}
    return {"ConnCount": draw.randrange(1, 90), "Target": [{"Port": [25], "Proto": ["tcp", "smtp"]}]}


def _drone(section: Section, draw: Random) -> Section:
    section |= {"Proto": ["tcp", "http"], "Port": [draw.randrange(1024, 65536)], "Type": ["Botnet"]}
    there = foreign(draw, 1) | {"Hostname": [f"cc{draw.randrange(40)}.example.com"], "Port": [80]}
    return {
        "ConnCount": draw.randrange(1, 40), "Target": [there | {"Type": ["CC"]}],
        "Attach": [{"Ref": [f"malware:zeroaccess-{draw.randrange(30)}"]}],
    }  # fmt: skip


def _malware(section: Section, draw: Random) -> Section:
    mark = f"{draw.getrandbits(160):040x}"
    section |= {
        "Type": ["Malware"],
        "Proto": ["tcp", "http"],
        "URL": [f"http://www.example.net/dl/{mark[:12]}.exe"],
    }
    file = {"FileName": [f"{mark[:12]}.exe"], "Hash": [f"sha1:{mark}"], "Type": ["Malware"]}
    return {
        "Attach": [file | {"Size": draw.randrange(9000, 900_000), "ContentType": "application/octet-stream"}]
    }


def _exploit(section: Section, draw: Random) -> Section:
    section |= {"Proto": ["tcp", "http"], "Port": [draw.randrange(1024, 65536)]}
    there = {
        "Port": [80],
        "Proto": ["tcp", "http"],
        "URL": [f"http://pot.example.net/cgi-bin/{draw.randrange(99)}"],
    }
    request = f"GET /cgi-bin/{draw.randrange(99)}?cmd=id HTTP/1.1\r\nHost: pot.example.net\r\n\r\n"
    return {"Target": [foreign(draw, 1) | there], "Attach": [{"Content": request, "Type": ["Exploit"]}]}


def _traffic(section: Section, draw: Random) -> Section:
    section |= {"Proto": ["udp"], "OutByteCount": draw.randrange(10**6, 10**9)}
    return {
        "ByteCount": draw.randrange(10**6, 10**9), "PacketCount": draw.randrange(1000, 10**6),
        "Target": [foreign(draw, draw.randrange(1, 12)) | {"Proto": ["udp"]}],
    }  # fmt: skip


def _ddos(section: Section, draw: Random) -> Section:
    section |= {"Proto": ["udp", "domain"], "Port": [draw.choice((53, 80, 443))]}
    there = {"Proto": ["udp", "domain"], "Type": ["Backscatter"]}
    return {
        "ByteCount": draw.randrange(10**6, 10**9), "PacketCount": draw.randrange(1000, 10**6),
        "Source": [foreign(draw, draw.randrange(5, 30)) | there],
    }  # fmt: skip


TROUBLES: Final[Sequence[Trouble]] = (
    Trouble("recon-scanning", "Recon.Scanning", "Horizontal scan using TCP SYN",
            "org.example.flow.hscan", "hscan_detector", _scan),
    Trouble("attempt-login-ssh", "Attempt.Login", "Multiple unsuccessful login attempts on SSH",
            "org.example.honeypot.ssh", "Cowrie", _login),
    Trouble("vulnerable-open", "Vulnerable.Open", "Service open to everybody",
            "org.example.scan.open", "Survey", _open),
    Trouble("vulnerable-config", "Vulnerable.Config", "TLS with a broken protocol",
            "org.example.tls.survey", "Survey", _config),
    Trouble("abusive-spam", "Abusive.Spam", "Unsolicited mail to a spam trap",
            "org.example.mailtrap", "Spamtrap", _spam),
    Trouble("botnet-drone", "Intrusion.Botnet", "Sinkhole: infected system",
            "org.example.dns.sinkhole", "Sinkhole", _drone),
    Trouble("malware-distribution", "Malware", "The machine serves malware",
            "org.example.proxy.urls", "URLs", _malware),
    Trouble("attempt-exploit", "Attempt.Exploit", "Exploit of a web application",
            "org.example.honeypot.ssh", "Glastopf", _exploit),
    Trouble("anomaly-traffic", "Anomaly.Traffic", "Unusual volume of traffic",
            "org.example.flow.old", "anomaly_detector", _traffic),
    Trouble("availability-ddos", "Availability.DDoS", "DNS amplification",
            "org.example.flow.ddos", "amplification_detection", _ddos, target=True),
)  # fmt: skip
