-- Events in the layout of Mentat 2.15, without extensions: addresses are text.

create table events (
    id text primary key,
    tlp text,
    detecttime timestamp not null,
    category text[] not null,
    description text,
    source_ip text[],
    target_ip text[],
    source_port integer[],
    target_port integer[],
    source_type text[],
    target_type text[],
    source_hostname text[],
    target_hostname text[],
    protocol text[],
    node_name text[] not null,
    node_type text[],
    node_sw text[],
    storagetime timestamp not null,
    resolvedabuses text[],
    targetabuses text[],
    eventclass text,
    targetclass text,
    eventseverity text,
    targetseverity text,
    inspectionerrors text[],
    shadow_reporting boolean not null default false,
    shadow_reporting_target boolean not null default false
);
create index events_storagetime on events (storagetime);
create index events_detecttime on events (detecttime);
create index events_eventseverity on events (eventseverity) where eventseverity is not null;

create table events_json (
    id text primary key references events (id) on delete cascade,
    event bytea not null
);
