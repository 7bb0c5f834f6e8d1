"""An installation of Mentat 2.15 is what the other tests take it for."""

from mentat.installation import Installation


def test_networks_and_events_are_of_ip4rs_types(mentat: Installation) -> None:
    types = """
        select data_type, udt_name from information_schema.columns where table_name = %s and column_name = %s
    """
    assert mentat.rows(mentat.main, types, ("networks", "network")) == [("USER-DEFINED", "iprange")]
    assert mentat.rows(mentat.events, types, ("events", "source_ip")) == [("ARRAY", "_iprange")]
