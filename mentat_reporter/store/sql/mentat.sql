-- What `init` takes over of the state that Mentat's own reporter keeps. Its tables are only read. Columns that an older
-- Mentat lacks are looked for by name in the row as JSON.

-- name: tables
-- Which of Mentat's tables are there, and whether they may be read.
select name, has_table_privilege(to_regclass(name), 'select')
from unnest(%(tables)s::text[]) as name
where to_regclass(name) is not null

-- name: own_state
-- Whether the reporter has windows of its own (period 0: they say what Mentat covered), or thresholds without any.
select exists (select from mentat_reporter.run_window where period <> interval '0'),
       not exists (select from mentat_reporter.run_window)
       and (exists (select from mentat_reporter.threshold)
            or exists (select from mentat_reporter.thresholded_event))

-- name: taken_marks
select severity, hi from mentat_reporter.run_window where clock = '' and period = interval '0'

-- name: marks
select severity::text, max(last_successful_run) at time zone 'utc'
from state_reporter where isfinite(last_successful_run) group by severity

-- name: forget_threshold
delete from mentat_reporter.threshold

-- name: forget_held
delete from mentat_reporter.thresholded_event

-- name: forget_ledger
delete from mentat_reporter.considered

-- name: forget_marks
delete from mentat_reporter.run_window where period = interval '0'

-- name: stage
create temporary table taken_key (
    key text, class text, address text, thresholdtime timestamp, relapsetime timestamp, ttltime timestamp,
    report_label text
) on commit drop;
create temporary table taken_problem (
    key text, groups text[], group_name text, severity text, direction text, shadow boolean, event_class text,
    source text, thresholdtime timestamp, relapsetime timestamp, ttltime timestamp, label text
) on commit drop;
create temporary table taken_held (
    event_id text, key text, group_name text, severity text, createtime timestamp, is_target boolean,
    is_shadow boolean
) on commit drop;
create temporary table taken_seen (
    event_id text, severity text, direction text, storagetime timestamp
) on commit drop

-- name: thresholds
-- In the events database.
select t.id, t.thresholdtime, t.relapsetime, t.ttltime, to_jsonb(t) ->> 'report_label'
from thresholds t
where isfinite(t.thresholdtime) and isfinite(t.relapsetime) and isfinite(t.ttltime)

-- name: held
-- In the events database.
select h.eventid, h.keyid, h.groupname, h.eventseverity, h.createtime,
       coalesce((to_jsonb(h) ->> 'istarget')::boolean, false),
       coalesce((to_jsonb(h) ->> 'isshadow')::boolean, false)
from events_thresholded h

-- name: seen
-- In the events database: what is stored within the margin below Mentat's last window.
select e.id, e.eventseverity, e.targetseverity, e.storagetime
from events e
where e.storagetime >= %(since)s::timestamp and e.storagetime < %(until)s::timestamp
  and (e.eventseverity = %(severity)s or e.targetseverity = %(severity)s)

-- name: analyze_keys
analyze taken_key

-- name: told_by
-- The report that set each threshold: the one that it names, else one whose window ended when it was set and that
-- tells of this class at this address. A source report goes before a target report.
with named as (
    select k.key, r.id
    from taken_key k join reports_events r on r.label = k.report_label
), unnamed as materialized (
    select k.* from taken_key k where not exists (select from named where named.key = k.key)
), telling as materialized (
    select r.id, r.type::text as type, r.dt_to,
           jsonb_path_query_first(r.structured_data, 'strict $ ? (@.type() == "object")') as data
    from reports_events r
    where r.parent_id is null and not r.flag_testdata and r.dt_to in (select thresholdtime from unnamed)
), line as materialized (
    select t.id, t.type, t.dt_to, c.class, a.address
    from telling t
    cross join lateral jsonb_each(t.data) half (name, classes)
    cross join lateral jsonb_each(case when half.name in ('regular', 'relapsed') then half.classes else '{}' end)
        c (class, lines)
    cross join lateral (
        select jsonb_object_keys(case when t.type <> 'target' then c.lines else '{}' end)
        union
        select jsonb_path_query(c.lines, '$.detector_data.*.target_list_data.relevant_ips[*]') #>> '{}'
        where t.type = 'target'
    ) a (address)
), found as (
    select key, id from named
    union all
    select key, id from (
        select u.key, l.id, rank() over (partition by u.key order by l.type = 'target') as place
        from unnamed u
        join line l on l.dt_to = u.thresholdtime and l.class = u.class and l.address = u.address
    ) ranked where place = 1
), chain as (
    select a.report_id, array_agg(g.name::text order by g.name) as groups
    from asoc_groups_reports a join groups g on g.id = a.group_id
    where a.report_id in (select id from found)
    group by a.report_id
)
select distinct k.key, k.class, k.address, k.thresholdtime, k.relapsetime, k.ttltime, r.label,
       r.severity::text, case r.type::text when 'target' then 'target' else 'source' end,
       r.flag_shadow, chain.groups
from found
join taken_key k on k.key = found.key
join reports_events r on r.id = found.id
join chain on chain.report_id = r.id

-- name: index_problems
create index on taken_problem (key);
create index on taken_held (key);
analyze taken_problem;
analyze taken_held

-- name: drop_expired
-- A threshold that ran out before Mentat's last window (without one: before now) holds nothing any more; it is needed
-- only if an event was held from its relapse time on, of which Mentat has not told.
delete from taken_problem p
where p.ttltime <= coalesce(
        (select w.hi at time zone 'utc' from mentat_reporter.run_window w
         where w.clock = '' and w.severity = p.severity),
        now() at time zone 'utc')
  and not exists (
      select from taken_held h
      where h.key = p.key and h.severity = p.severity and h.is_target = (p.direction = 'target')
        and h.is_shadow = p.shadow and h.group_name = any(p.groups)
        and h.createtime > p.thresholdtime and h.createtime >= p.relapsetime
        and p.relapsetime < p.ttltime)

-- name: put_thresholds
-- Two of Mentat's keys may be one here, written otherwise: the later one counts.
insert into mentat_reporter.threshold
    (group_name, severity, direction, shadow, event_class, source, thresholdtime, relapsetime, ttltime,
     report_label, first_label)
select distinct on (group_name, severity, direction, shadow, event_class, source)
       group_name, severity, direction, shadow, event_class, source, thresholdtime at time zone 'utc',
       relapsetime at time zone 'utc', ttltime at time zone 'utc', label, label
from taken_problem
order by group_name, severity, direction, shadow, event_class, source, thresholdtime desc

-- name: put_held
-- What was held at the very time of the threshold was told by the same report: Mentat asks once for each group of a
-- chain, and holds for the second what it told for the first.
insert into mentat_reporter.thresholded_event
    (event_id, group_name, severity, direction, shadow, event_class, source, createtime)
select h.event_id, p.group_name, p.severity, p.direction, p.shadow, p.event_class, p.source,
       max(h.createtime) at time zone 'utc'
from taken_held h
join taken_problem p
  on p.key = h.key and p.severity = h.severity and (p.direction = 'target') = h.is_target
 and p.shadow = h.is_shadow and h.group_name = any(p.groups) and h.createtime > p.thresholdtime
where isfinite(h.createtime)
group by 1, 2, 3, 4, 5, 6, 7

-- name: counts
-- Thresholds of Mentat; those with a report; those that are needed; held events; those taken.
select (select count(*) from taken_key), (select count(distinct key) from taken_problem),
       (select count(*) from taken_held),
       (select count(distinct (event_id, event_class, source)) from mentat_reporter.thresholded_event)

-- name: put_mark
-- A window of Mentat's, no longer than what is read again: nothing stored before it is ever fetched.
insert into mentat_reporter.run_window (clock, severity, lo, hi, fetch_lo, period, state)
values ('', %(severity)s, %(since)s, %(hi)s, %(since)s, interval '0', 'done')

-- name: put_seen
insert into mentat_reporter.considered (event_id, group_name, severity, direction, storagetime)
select event_id, '', severity, direction, storagetime at time zone 'utc' from taken_seen
on conflict do nothing

-- name: put_told
-- What Mentat told or held at the end of its last window, and in windows after it that it could not finish. A row stays
-- until what is stored by then cannot be fetched again.
insert into mentat_reporter.considered (event_id, group_name, severity, direction, storagetime)
select told.id, g.name, r.severity::text, case r.type::text when 'target' then 'target' else 'source' end,
       max(r.dt_to) at time zone 'utc'
from mentat_reporter.run_window w
join reports_events r on r.severity::text = w.severity and r.dt_to >= w.hi at time zone 'utc' and r.parent_id is null
join asoc_groups_reports a on a.report_id = r.id
join groups g on g.id = a.group_id
cross join lateral jsonb_array_elements_text(
    case jsonb_typeof(r.statistics -> 'list_ids') when 'array' then r.statistics -> 'list_ids' else '[]' end
) as told (id)
where not r.flag_testdata and w.clock = '' and w.period = interval '0'
group by 1, 2, 3, 4
union
select h.event_id, h.group_name, h.severity, h.direction, h.createtime
from mentat_reporter.thresholded_event h
join mentat_reporter.run_window w on w.clock = '' and w.severity = h.severity and h.createtime >= w.hi
on conflict do nothing

-- name: beside
-- How far Mentat's own reporter is.
select max(last_successful_run) at time zone 'utc' from state_reporter where isfinite(last_successful_run)
