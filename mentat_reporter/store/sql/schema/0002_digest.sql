-- The daily digest: what the admin was told of, and when.

-- null: not told of yet. The recipients of a digest count as told from the beginning.
alter table mentat_reporter.outbox_recipient add column told timestamptz;
create index outbox_recipient_untold on mentat_reporter.outbox_recipient (outbox_id)
    where state = 'failed' and told is null;
create index outbox_held on mentat_reporter.outbox (id) where state = 'held';
alter table mentat_reporter.quarantine add column told timestamptz;
create index quarantine_untold on mentat_reporter.quarantine (kind) where told is null or last_seen > told;

create table mentat_reporter.digest (
    day date primary key,                      -- in UTC: at most one a day
    made timestamptz not null,
    message_id text not null
);

-- Databases that were made before a unit kept what it decided.
alter table mentat_reporter.unit_done add column if not exists event_ids text[] not null default '{}';
alter table mentat_reporter.unit_done alter column event_ids drop default;
