-- Groups and reports in the layout of Mentat 2.15, without extensions: networks are text.

create type event_class_severities as enum ('info', 'low', 'medium', 'high', 'critical');
create type event_class_state as enum ('DISABLED', 'SHADOW', 'ENABLED');
create type filter_types as enum ('basic', 'advanced');
create type report_severities as enum ('info', 'low', 'medium', 'high', 'critical');
create type report_types as enum ('summary', 'extra', 'target');
create type reporting_modes as enum ('summary', 'extra', 'both', 'none');

create table groups (
    id serial primary key,
    createtime timestamp default (now() at time zone 'utc'),
    name varchar(100) unique,
    source varchar(50) not null,
    description varchar not null,
    enabled boolean not null,
    parent_id integer references groups (id) on delete set null,
    local_id varchar(20)
);

create table networks (
    id serial primary key,
    createtime timestamp default (now() at time zone 'utc'),
    group_id integer not null references groups (id) on delete cascade,
    netname varchar(250) not null,
    source varchar(50) not null,
    network varchar not null,
    description varchar,
    rank integer,
    is_base boolean not null default false,
    local_id varchar(20)
);
create index networks_group_id on networks (group_id);

create table filters (
    id serial primary key,
    createtime timestamp default (now() at time zone 'utc'),
    group_id integer references groups (id) on delete cascade,
    name varchar(250) not null,
    source_based boolean not null,
    type filter_types not null,
    filter varchar not null,
    description varchar not null,
    valid_from timestamp,
    valid_to timestamp,
    enabled boolean not null,
    detectors varchar[] not null default '{}',
    categories varchar[] not null default '{}',
    event_classes varchar[] not null default '{}',
    sources varchar[] not null default '{}',
    targets varchar[] not null default '{}',
    ip_aggr varchar[] not null default '{}',
    protocols varchar[] not null default '{}',
    hits integer not null default 0,
    last_hit timestamp
);
create index filters_group_id on filters (group_id);

create table settings_reporting (
    id serial primary key,
    createtime timestamp default (now() at time zone 'utc'),
    group_id integer not null unique references groups (id) on delete cascade,
    emails_info varchar[] not null default '{}',
    emails_low varchar[] not null default '{}',
    emails_medium varchar[] not null default '{}',
    emails_high varchar[] not null default '{}',
    emails_critical varchar[] not null default '{}',
    mode reporting_modes,
    locale varchar,
    timezone varchar(50),
    redirect boolean
);

create table detectors (
    id serial primary key,
    createtime timestamp default (now() at time zone 'utc'),
    name varchar(100) not null unique,
    description varchar,
    source varchar(50) not null,
    credibility double precision not null,
    registered timestamp,
    hits integer not null default 0,
    valid boolean,
    read boolean,
    debug boolean,
    write boolean,
    test boolean,
    manage boolean
);

create table event_classes (
    id serial primary key,
    createtime timestamp default (now() at time zone 'utc'),
    name varchar(250) not null unique,
    source_based boolean not null,
    label_en varchar not null,
    label_cz varchar not null,
    reference varchar not null,
    displayed_main varchar[] not null default '{}',
    displayed_source varchar[] not null default '{}',
    displayed_target varchar[] not null default '{}',
    displayed_attach varchar[] not null default '{}',
    rule varchar not null,
    priority integer not null,
    severity event_class_severities not null,
    subclassing varchar,
    state event_class_state not null,
    last_update timestamp
);

create table reports_events (
    id serial primary key,
    createtime timestamp default (now() at time zone 'utc'),
    parent_id integer references reports_events (id) on delete cascade,
    label varchar not null unique,
    severity report_severities not null,
    type report_types not null,
    message varchar,
    dt_from timestamp not null,
    dt_to timestamp not null,
    delta integer not null,
    flag_shadow boolean not null,
    flag_testdata boolean not null,
    flag_mailed boolean not null,
    evcount_rep integer not null,
    evcount_all integer not null,
    evcount_new integer,
    evcount_flt integer,
    evcount_flt_blk integer,
    evcount_det integer,
    evcount_det_blk integer,
    evcount_thr integer,
    evcount_thr_blk integer,
    evcount_rlp integer,
    mail_to varchar[] not null default '{}',
    mail_dt timestamp,
    mail_res varchar,
    statistics jsonb,
    filtering jsonb,
    structured_data jsonb
);
create index reports_events_createtime on reports_events (createtime);
create index reports_events_parent_id on reports_events (parent_id);

create table asoc_groups_reports (
    group_id integer not null references groups (id) on delete cascade,
    report_id integer not null references reports_events (id) on delete cascade,
    primary key (group_id, report_id)
);
create index asoc_groups_reports_report_id on asoc_groups_reports (report_id);
