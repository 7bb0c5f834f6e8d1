-- Tables as they are after years, for test_plans.py: a million events, thresholds and held events; no indexes
-- but those that `init` makes, and no statistics.

-- Mentat's has none
alter table events_json drop constraint events_json_id_fkey;

insert into events (id, detecttime, storagetime, category, node_name, source_ip, resolvedabuses,
                    targetabuses, eventclass, eventseverity, targetseverity)
select md5(n::text), at, at, array[case when n % 1000 = 0 then 'Test' else 'Recon.Scanning' end],
       array['org.example.sensor'], array['192.0.2.1'], array['abuse@g' || n % 200],
       case when n % 10 = 0 then array['abuse@g' || n % 190] end, 'recon-scanning',
       ('{low,low,low,low,low,medium,medium,high,info,critical}'::text[])[1 + n % 10],
       case when n % 10 = 0 then 'low' end
from (select n, timestamp '2026-05-01' + n * interval '2.592 seconds' as at
      from generate_series(0, 999999) n) made;

insert into events_json
select id, convert_to(repeat(id, 8), 'UTF8') from events;

insert into groups (name, source, description, enabled)
select 'abuse@g' || n, '', '', true from generate_series(0, 199) n;

insert into mentat_reporter.threshold (group_name, severity, direction, shadow, event_class, source,
                                       thresholdtime, relapsetime, ttltime, report_label, first_label)
select 'abuse@g' || n % 200, case when n % 8 = 0 then 'medium' else 'low' end, 'source', false,
       'recon-scanning', '10.' || n / 65536 || '.' || n / 256 % 256 || '.' || n % 256,
       at, at + interval '4 days', at + interval '6 days', 'M' || n % 5000, 'M' || n % 5000
from (select n, timestamptz '2026-05-25 00:00+00' + n * interval '0.518 seconds' as at
      from generate_series(0, 999999) n) made;

insert into mentat_reporter.thresholded_event
select source, group_name, severity, direction, shadow, event_class, source,
       thresholdtime + interval '5 days'
from mentat_reporter.threshold;

insert into mentat_reporter.considered
select md5(n::text), 'abuse@g' || n % 200, case when n % 8 = 0 then 'medium' else 'low' end, 'source',
       timestamptz '2026-05-30 00:00+00' + n * interval '0.432 seconds'
from generate_series(0, 199999) n;

insert into reports_events (createtime, label, severity, type, dt_from, dt_to, delta, flag_shadow,
                            flag_testdata, flag_mailed, evcount_rep, evcount_all, statistics)
select at, 'M' || n, 'low', case when n % 10 = 0 then 'summary' else 'extra' end::report_types,
       at - interval '1 day', at, 86400, false, false, true, 1, 1,
       jsonb_build_object('list_ids', array[md5(n::text)], 'hours', repeat(md5(n::text), 10))
from (select n, timestamp '2026-02-01' + n * interval '100 seconds' as at
      from generate_series(1, 100000) n) made;

insert into asoc_groups_reports
select (select min(id) from groups) + id % 200, id from reports_events;

insert into mentat_reporter.outbox (report_label, message_id, envelope_sender, message, sha256, state,
                                    created, settled)
select label, '<' || label || '@reporter.example>', 'a@b.example', convert_to(repeat(label, 99), 'UTF8'),
       '', 'sent', createtime, createtime
from reports_events;

insert into mentat_reporter.outbox_recipient (outbox_id, address, state)
select id, 'abuse@example.org', 'sent' from mentat_reporter.outbox;
