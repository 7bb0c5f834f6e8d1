"""Mentat's web interface for tests, without a server: its own application, asked as a browser would.

Runs in the environment that has `mentat-ng`, for `inside.py`.
"""

# Neither mypy nor ruff runs where mentat-ng is installed.
# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, ANN202

import json
import os
from pathlib import Path

COMMON = """
{%- macro get_number_value(section_data, detector_data, name) -%}
{{ detector_data.get_ip_count(section_data.get_section()) if name == "ip_count" else section_data[name] }}
{%- endmacro -%}
{%- macro set_list_values(ns, event_class, section_data, detector_data, name) -%}
{%- set ns.values = detector_data.get_protocols() if name == "protocols" else section_data[name] -%}
{%- set ns.should_be_rendered = ns.values and true -%}
{%- endmacro -%}
{%- macro ref_to_link(ref) -%}{{ ref }}{%- endmacro -%}
{%- macro render_report_severity_message(report) -%}{{ report.severity }}{%- endmacro -%}
"""
"""Stands in for a file of the reporter's templates, which the published package leaves to the installation.

All list fields are shown, whatever the class wants.
"""


def _install(config, root):
    """Make the folders and files that the application looks for."""
    for folder in (
        "etc/mentat/core",
        "etc/mentat/templates",
        "var/mentat/log",
        "var/mentat/run",
        "var/mentat/cache",
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "etc/mentat/templates/_macros.common.txt.j2").write_text(COMMON)
    reporter = {
        "templates_dir": "/etc/mentat/templates",
        "template_vars": {
            "contact_email": "abuse@cert.example",
            "report_access_url": "https://mentat.example/",
        },
        "default_reporting_locale": "en",
        "default_reporting_timezone": "UTC",
    }
    whole = {**config, "__core__reporter": reporter, "__core__services": {}}
    for name, value in whole.items():
        (root / f"etc/mentat/core/{name.strip('_')}.json.conf").write_text(json.dumps({name: value}))


def _application(root):
    os.environ["APP_ROOT_PATH"] = str(root)
    import hawat.app  # noqa: PLC0415 - it reads the root from the environment

    testing = hawat.app.hawat.config.TestingConfig
    quiet = {"DISABLE_MAIL_LOGGING": True, "WTF_CSRF_ENABLED": False, "SECRET_KEY": "throwaway"}
    parts = [name for name in testing.ENABLED_BLUEPRINTS if not name.endswith((".dnsr", ".geoip"))]
    own = {**quiet, "SESSION_COOKIE_SECURE": False, "ENABLED_BLUEPRINTS": parts}
    config = type("Config", (testing,), own)
    return hawat.app.create_app_full(config_object=config)


def browse(config, folder, login, paths):
    """Return `[status, text]` of each path, asked as the user of that login, or as nobody."""
    root = Path(folder)
    _install(config, root)
    client = _application(root).test_client()
    if login:
        answer = client.post("/auth_dev/login", data={"login": login, "submit": "Login"})
        assert answer.status_code == 302, answer.text
    answers = [client.get(path) for path in paths]
    return [[answer.status_code, answer.text] for answer in answers]
