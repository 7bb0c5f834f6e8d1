-- What init and the imports ask and write. Sets of rows come as one JSON array, read in the row type of
-- their table: whatever type a column has there (iprange, cidr or text), its own input function is used.

-- name: lock
-- One init or import at a time; held until the transaction ends.
select pg_advisory_xact_lock(hashtext('mentat_reporter.importing'))

-- name: missing_tables
select name from unnest(%(tables)s::text[]) as name where to_regclass(name) is null

-- name: version
select coalesce(max(number), 0) from mentat_reporter.migration

-- name: record_migration
insert into mentat_reporter.migration (number, name) values (%(number)s, %(name)s)

-- name: main_state
-- Tables that are missing; rights that the role lacks, those to write beside each other; the last migration.
select array(select name from unnest(%(tables)s::text[]) as name where to_regclass(name) is null),
       array(select 'select on ' || name from unnest(%(tables)s::text[]) as name
             where not has_table_privilege(to_regclass(name), 'select')),
       array(
           select 'insert on ' || name from unnest('{reports_events,asoc_groups_reports}'::text[]) as name
           where not has_table_privilege(to_regclass(name), 'insert')
           union all
           select 'usage on sequence ' || name
           from (select pg_get_serial_sequence(attrelid::regclass::text, attname) as name
                 from pg_attribute
                 where attrelid = to_regclass('reports_events') and attname = 'id' and attidentity = '') as numbers
           where not has_sequence_privilege(name, 'usage')
           union all
           select format('update (%%s) on %%s', string_agg(attname, ', ' order by attname), attrelid::regclass)
           from pg_attribute
           where ((attrelid = to_regclass('filters') and attname in ('hits', 'last_hit'))
                  or (attrelid = to_regclass('detectors') and attname = 'hits'))
             and not has_column_privilege(attrelid, attnum, 'update')
           group by attrelid
       ),
       (select coalesce(max(number), 0) from mentat_reporter.migration)

-- name: events_state
-- Tables that are missing; rights that the role lacks.
select array(select name from unnest(%(tables)s::text[]) as name where to_regclass(name) is null),
       array(select 'select on ' || name from unnest(%(tables)s::text[]) as name
             where not has_table_privilege(to_regclass(name), 'select')),
       '{}'::text[]

-- name: network_type
-- What networks are written in: iprange, cidr, inet or a text.
select format_type(atttypid, null) from pg_attribute
where attrelid = 'networks'::regclass and attname = 'network'

-- name: read_groups
select g.id, g.name, g.description, g.enabled, parent.name as parent
from groups g
left join groups parent on parent.id = g.parent_id
where g.name is not null
order by g.id desc

-- name: insert_groups
insert into groups (createtime, source, name, description, enabled)
select now() at time zone 'utc', 'manual', name, description, enabled
from jsonb_populate_recordset(null::groups, %(rows)s)

-- name: update_groups
update groups set description = row.description, enabled = row.enabled
from jsonb_populate_recordset(null::groups, %(rows)s) as row
where groups.id = row.id

-- name: set_parents
update groups set parent_id = parent.id
from jsonb_to_recordset(%(rows)s) as row (id integer, parent text)
left join groups parent on parent.name = row.parent
where groups.id = row.id

-- name: delete_groups
delete from groups where id = any (%(ids)s::integer[])

-- name: read_networks
select id, group_id, network::text as network, netname, rank, is_base from networks order by id desc

-- name: insert_networks
insert into networks (createtime, source, group_id, network, netname, rank, is_base)
select now() at time zone 'utc', 'manual', group_id, network, netname, rank, is_base
from jsonb_populate_recordset(null::networks, %(rows)s)

-- name: update_networks
update networks set netname = row.netname, rank = row.rank, is_base = row.is_base
from jsonb_populate_recordset(null::networks, %(rows)s) as row
where networks.id = row.id

-- name: delete_networks
delete from networks where id = any (%(ids)s::integer[])

-- name: read_filters
-- Times that Python has no dates for are no limits.
select id, group_id, name, filter, source_based, enabled, description,
       case when valid_from between '0001-01-01' and '9999-12-31' then valid_from end as valid_from,
       case when valid_to between '0001-01-01' and '9999-12-31' then valid_to end as valid_to
from filters order by id desc

-- name: insert_filters
insert into filters (
    createtime, type, group_id, name, filter, source_based, enabled, valid_from, valid_to, description,
    detectors, categories, event_classes, sources, targets, ip_aggr, protocols, hits
)
select now() at time zone 'utc', 'advanced', group_id, name, filter, source_based, enabled, valid_from,
       valid_to, description, '{}', '{}', '{}', '{}', '{}', '{}', '{}', 0
from jsonb_populate_recordset(null::filters, %(rows)s)

-- name: update_filters
-- Hits stay, a rule that the web interface composed becomes one written by hand.
update filters
set type = 'advanced', filter = row.filter, source_based = row.source_based, enabled = row.enabled,
    valid_from = row.valid_from, valid_to = row.valid_to, description = row.description
from jsonb_populate_recordset(null::filters, %(rows)s) as row
where filters.id = row.id

-- name: delete_filters
delete from filters where id = any (%(ids)s::integer[])

-- name: read_settings_reporting
select s.id, s.group_id, s.emails_info, s.emails_low, s.emails_medium, s.emails_high, s.emails_critical,
       s.mode::text as mode, s.locale, s.timezone, s.redirect
from settings_reporting s
order by s.id desc

-- name: insert_settings_reporting
insert into settings_reporting (
    createtime, group_id, emails_info, emails_low, emails_medium, emails_high, emails_critical, mode, locale,
    timezone, redirect
)
select now() at time zone 'utc', group_id, emails_info, emails_low, emails_medium, emails_high,
       emails_critical, mode, locale, timezone, redirect
from jsonb_populate_recordset(null::settings_reporting, %(rows)s)

-- name: update_settings_reporting
update settings_reporting
set emails_info = row.emails_info, emails_low = row.emails_low, emails_medium = row.emails_medium,
    emails_high = row.emails_high, emails_critical = row.emails_critical, mode = row.mode,
    locale = row.locale, timezone = row.timezone, redirect = row.redirect
from jsonb_populate_recordset(null::settings_reporting, %(rows)s) as row
where settings_reporting.id = row.id

-- name: read_group_settings
select group_name as id, group_name, timing, mute, template, attachments, compress, max_attachment_size
from mentat_reporter.group_settings

-- name: insert_group_settings
insert into mentat_reporter.group_settings (
    group_name, timing, mute, template, attachments, compress, max_attachment_size
)
select group_name, timing, mute, template, attachments, compress, max_attachment_size
from jsonb_populate_recordset(null::mentat_reporter.group_settings, %(rows)s)

-- name: update_group_settings
update mentat_reporter.group_settings s
set timing = row.timing, mute = row.mute, template = row.template, attachments = row.attachments,
    compress = row.compress, max_attachment_size = row.max_attachment_size
from jsonb_populate_recordset(null::mentat_reporter.group_settings, %(rows)s) as row
where s.group_name = row.group_name

-- name: delete_group_settings
delete from mentat_reporter.group_settings where group_name = any (%(names)s::text[])

-- name: read_detectors
select id, name, credibility from detectors order by id desc

-- name: insert_detectors
insert into detectors (createtime, registered, source, name, credibility, hits)
select now() at time zone 'utc', now() at time zone 'utc', 'manual', name, credibility, 0
from jsonb_populate_recordset(null::detectors, %(rows)s)

-- name: update_detectors
update detectors set credibility = row.credibility
from jsonb_populate_recordset(null::detectors, %(rows)s) as row
where detectors.id = row.id

-- name: delete_detectors
delete from detectors where id = any (%(ids)s::integer[])

-- name: read_event_classes
select id, name, source_based, label_en, label_cz, reference, severity::text as severity, rule,
       coalesce(subclassing, '') as subclassing, priority, state::text as state, displayed_main,
       displayed_source, displayed_target, displayed_attach
from event_classes order by id desc

-- name: insert_event_classes
insert into event_classes (
    createtime, last_update, name, source_based, label_en, label_cz, reference, severity, rule, subclassing,
    priority, state, displayed_main, displayed_source, displayed_target, displayed_attach
)
select now() at time zone 'utc', now() at time zone 'utc', name, source_based, label_en, label_cz, reference,
       severity, rule, subclassing, priority, state, displayed_main, displayed_source, displayed_target,
       displayed_attach
from jsonb_populate_recordset(null::event_classes, %(rows)s)

-- name: update_event_classes
update event_classes
set last_update = now() at time zone 'utc', source_based = row.source_based, label_en = row.label_en,
    label_cz = row.label_cz, reference = row.reference, severity = row.severity, rule = row.rule,
    subclassing = row.subclassing, priority = row.priority, state = row.state,
    displayed_main = row.displayed_main, displayed_source = row.displayed_source,
    displayed_target = row.displayed_target, displayed_attach = row.displayed_attach
from jsonb_populate_recordset(null::event_classes, %(rows)s) as row
where event_classes.id = row.id

-- name: delete_event_classes
delete from event_classes where id = any (%(ids)s::integer[])

-- name: read_event_class_text
select class_name as id, class_name, label, advice from mentat_reporter.event_class_text

-- name: insert_event_class_text
insert into mentat_reporter.event_class_text (class_name, label, advice)
select class_name, label, advice
from jsonb_populate_recordset(null::mentat_reporter.event_class_text, %(rows)s)

-- name: update_event_class_text
update mentat_reporter.event_class_text t set label = row.label, advice = row.advice
from jsonb_populate_recordset(null::mentat_reporter.event_class_text, %(rows)s) as row
where t.class_name = row.class_name

-- name: delete_event_class_text
delete from mentat_reporter.event_class_text where class_name = any (%(names)s::text[])

-- name: class_rules
-- Every class, in the order in which their rules are tried on an event.
select name, source_based, severity::text, state::text, rule
from event_classes
order by state = 'SHADOW', priority desc, name

-- name: known_events
-- The digests of what is stored under these ids; null: an event without its message.
select id, sha256(event) from events_json where id = any (%(ids)s::text[])
union all
select id, null from events
where id = any (%(ids)s::text[]) and not exists (select from events_json j where j.id = events.id)

-- name: insert_events
-- Into whatever columns the table has; those that it lacks are left out.
insert into events
select (row).* from jsonb_populate_recordset(null::events, %(rows)s) as row
on conflict (id) do nothing
returning id

-- name: insert_messages
insert into events_json (id, event)
select id, event from unnest(%(ids)s::text[], %(messages)s::bytea[]) as message (id, event)
on conflict (id) do nothing
