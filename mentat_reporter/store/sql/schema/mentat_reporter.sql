-- The whole schema of the reporter's own state in one file, for reading. It is what the migrations
-- make (a test compares the two) and it is never executed outside that test.

create schema mentat_reporter;

-- Which numbered files of this folder have been applied.
create table mentat_reporter.migration (
    number integer primary key,
    name text not null,
    applied timestamptz not null default now()
);

-- The reporter's own state. Meaning of each table: docs/operations.md.

create table mentat_reporter.run_window (
    id bigint generated always as identity primary key,
    clock text not null,                       -- a group's name, '' for the common clock
    severity text not null,
    lo timestamptz not null,
    hi timestamptz not null,
    fetch_lo timestamptz not null,
    period interval not null,
    snap_xmin xid8,                            -- null: the events database is a read-only replica
    own_xid xid8,
    state text not null check (state in ('open', 'done')),
    opened timestamptz not null default now(),
    check (lo < hi and fetch_lo <= lo),
    unique (clock, severity, hi)
);
-- a second runner cannot open what is open
create unique index run_window_open on mentat_reporter.run_window (clock, severity) where state = 'open';

-- Units of an open window that are committed, with what they decided: a run that goes on where another was
-- killed leaves that out.
create table mentat_reporter.unit_done (
    window_id bigint not null references mentat_reporter.run_window (id) on delete cascade,
    group_name text not null,
    direction text not null,
    event_ids text[] not null,
    primary key (window_id, group_name, direction)
);

create table mentat_reporter.considered (
    event_id text not null,
    group_name text not null,                  -- '' for an event without an owner
    severity text not null,
    direction text not null,
    storagetime timestamptz not null,
    primary key (severity, direction, group_name, event_id)
);
create index considered_storagetime on mentat_reporter.considered (severity, storagetime);

create table mentat_reporter.threshold (
    group_name text not null,
    severity text not null,
    direction text not null,
    shadow boolean not null,
    event_class text not null,
    source text not null,
    thresholdtime timestamptz not null,
    relapsetime timestamptz not null,
    ttltime timestamptz not null,
    report_label text not null,
    first_label text not null,                 -- stays when a relapse renews the row: its mail is answered
    primary key (group_name, severity, direction, shadow, event_class, source)
);
create index threshold_ttltime on mentat_reporter.threshold (severity, ttltime);

create table mentat_reporter.thresholded_event (
    event_id text not null,
    group_name text not null,
    severity text not null,
    direction text not null,
    shadow boolean not null,
    event_class text not null,
    source text not null,
    createtime timestamptz not null,
    primary key (group_name, severity, direction, shadow, event_class, source, event_id)
);

create table mentat_reporter.unit_retry (
    group_name text not null,
    severity text not null,
    direction text not null,
    clock text not null,
    lo timestamptz not null,
    hi timestamptz not null,
    fetch_lo timestamptz not null,
    period interval not null,
    event_ids text[] not null,                 -- what the unit still owes
    attempts integer not null,
    next_attempt timestamptz,                  -- null: given up after ten failures, kept for an operator
    error text not null,
    primary key (group_name, severity, direction, hi)
);

create table mentat_reporter.quarantine (
    kind text not null check (kind in ('event', 'group', 'filter', 'template', 'mail')),
    reference text not null,
    error text not null,
    first_seen timestamptz not null,
    last_seen timestamptz not null,
    count bigint not null,
    told timestamptz,                          -- null: not in a digest yet
    primary key (kind, reference)
);
create index quarantine_untold on mentat_reporter.quarantine (kind) where told is null or last_seen > told;

create table mentat_reporter.outbox (
    id bigint generated always as identity primary key,
    report_label text not null,
    message_id text not null unique,
    envelope_sender text not null,
    message bytea not null,
    sha256 bytea not null,
    state text not null
        check (state in ('pending', 'sending', 'sent', 'deferred', 'failed', 'held')),
    attempts integer not null default 0,
    recoveries integer not null default 0,
    data_begun boolean not null default false, -- DATA may have begun: a crash now may mean a duplicate
    next_attempt timestamptz,
    smtp_code integer,
    smtp_text text,
    ambiguous boolean not null default false,
    fallback_used boolean not null default false,
    created timestamptz not null,
    settled timestamptz
);
create index outbox_due on mentat_reporter.outbox (next_attempt, id) where state in ('pending', 'sending', 'deferred');
create index outbox_report_label on mentat_reporter.outbox (report_label);
create index outbox_held on mentat_reporter.outbox (id) where state = 'held';

create table mentat_reporter.outbox_recipient (
    outbox_id bigint not null references mentat_reporter.outbox (id) on delete cascade,
    address text not null,
    state text not null check (state in ('pending', 'sent', 'deferred', 'failed')),
    code integer,
    text text,
    told timestamptz,                          -- null: not in a digest yet
    primary key (outbox_id, address)
);
create index outbox_recipient_untold on mentat_reporter.outbox_recipient (outbox_id)
    where state = 'failed' and told is null;

create table mentat_reporter.digest (
    day date primary key,                      -- in UTC: at most one a day
    made timestamptz not null,
    message_id text not null
);

-- Columns that Mentat 2.15 dropped from settings_reporting, and timing; one row a group.
create table mentat_reporter.group_settings (
    group_name text primary key,
    timing jsonb not null default '{}',
    mute boolean not null default false,
    template text,
    attachments text,
    compress boolean not null default false,
    max_attachment_size bigint
);

-- What event_classes has no columns for: labels beyond English and Czech, and advice.
create table mentat_reporter.event_class_text (
    class_name text primary key,
    label jsonb not null default '{}',
    advice jsonb not null default '{}'
);
