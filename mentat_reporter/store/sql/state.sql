-- The reporter's own state.

-- name: ping
-- Whether anybody is there.
select 1

-- name: now
select now()

-- name: lock
-- One runner per database, on whatever host. The number is the word "mentatre" in ASCII; the next one is the lock
-- of worker processes, of which one may outlive its run for a moment: the run only looks whether it is free.
select case
    when not pg_try_advisory_lock(7882826979589059173) then false
    when pg_try_advisory_lock(7882826979589059174) then pg_advisory_unlock(7882826979589059174)
    else not pg_advisory_unlock(7882826979589059173)
end

-- name: join_lock
select pg_advisory_lock_shared(7882826979589059174)

-- name: clocks
-- What each clock has covered: from where it ever fetched, its last hi, and its window left open, if any. Without a
-- clock: the newest report that another reporter made for a time that is ours; how far all is covered; whether it is
-- known how far Mentat's own reporter is. Other reporters' labels have another form. What is as old as when its
-- state was taken over (period 0) was known then; a report of a time long covered was restored, but the other one
-- may be slow. Mentat's table has no index on the time.
with clock as materialized (
    select clock, severity, min(fetch_lo) as first_fetch, max(hi) as hi, max(id) filter (where state = 'open') as open,
           max(hi) filter (where period = interval '0') as taken
    from mentat_reporter.run_window
    group by clock, severity
), covered as (
    select max(hi) as until, coalesce(max(taken), '-infinity') as taken from clock where clock = ''
), last as (
    select label, createtime at time zone 'utc' as made, dt_to at time zone 'utc' as hi
    from reports_events
    order by id desc limit 1000
)
select clock, severity, first_fetch, hi, open, null::timestamptz, null::boolean, null::boolean from clock
union all
select null, null, null, until, null,
       (select max(last.hi) from last
        where last.label !~ '-[A-Z2-7]{8}$'
          and last.hi > taken
          and (last.hi >= until or (last.made > until and last.hi > until - interval '1 hour'))),
       coalesce(taken = until, false),
       coalesce(has_table_privilege(to_regclass('state_reporter'), 'select'), false)
from covered

-- name: horizon
-- Where the window of a clock that begins at `lo` begins to fetch, but for the margin: below it every transaction
-- that had an xid had ended by the last window's snapshot. Null: the snapshot is not known (replica).
-- Where none had, it is where the first window began to fetch: its lo, but for a group's clock that followed
-- the common one.
-- A window whose hi lies ahead of the clock proves nothing beyond the moment at which it was opened.
-- Windows of before a restored backup, whose xids are greater than those that came after, count no more.
-- Beside it the xid of the last of these windows: greater than one's own, the events database was restored since.
with p as (
    select snap_xmin, own_xid, hi from mentat_reporter.run_window
    where clock = %(clock)s and severity = %(severity)s and hi <= %(lo)s
    order by hi desc
    limit 1
), backup as materialized (  -- found once, not for each of a month of windows
    select coalesce(max(before.hi), '-infinity') as until
    from mentat_reporter.run_window before, p
    where before.clock = %(clock)s and before.severity = %(severity)s
      and before.own_xid > p.own_xid and before.hi < p.hi
), comparable as (
    select r.hi, r.fetch_lo, least(r.hi, r.opened) as covered, r.own_xid
    from mentat_reporter.run_window r, backup
    where r.clock = %(clock)s and r.severity = %(severity)s and r.hi <= %(lo)s and r.hi > backup.until
)
select case
    when p.snap_xmin is null then null
    else coalesce(
        (select max(covered) from comparable where own_xid <= p.snap_xmin),
        (select fetch_lo from comparable order by hi limit 1))
    end,
    p.own_xid::text
from p

-- name: set_back
-- The clock was set back: time that windows covered comes again, and they prove nothing of what it brings. It
-- began again after a window was last opened, a day ago at most, or at `since`. Windows that a run opened which was
-- told a time ahead were opened before now, and stay as they are.
update mentat_reporter.run_window w set opened = again.since
from (
    select least(%(since)s::timestamptz, greatest(max(opened), %(now)s::timestamptz - interval '1 day')) as since
    from mentat_reporter.run_window where opened <= %(now)s::timestamptz
) as again
where w.hi > again.since and w.opened > %(now)s::timestamptz

-- name: open_window
insert into mentat_reporter.run_window
    (clock, severity, lo, hi, fetch_lo, period, snap_xmin, own_xid, state)
values (%(clock)s, %(severity)s, %(lo)s, %(hi)s, %(fetch_lo)s, %(period)s::interval, %(snap_xmin)s::xid8,
        %(own_xid)s::xid8, 'open')
returning id

-- name: window
select clock, severity, lo, hi, fetch_lo, period from mentat_reporter.run_window where id = %(id)s

-- name: drop_clock
-- A group that has no clock of its own any more, once the common clock has covered as much.
delete from mentat_reporter.run_window where clock = %(clock)s and severity = %(severity)s

-- name: decided
-- What the units of an open window that are committed decided.
select direction, group_name, event_ids from mentat_reporter.unit_done where window_id = %(window)s

-- name: unit_done
-- A unit is worked again when more became visible before a run goes on with the window.
insert into mentat_reporter.unit_done as u (window_id, group_name, direction, event_ids)
values (%(window)s, %(group)s, %(direction)s, %(event_ids)s::text[])
on conflict (window_id, group_name, direction) do update set event_ids = u.event_ids || excluded.event_ids

-- name: close_window
-- Mark a window done, and purge what is not needed any more: what its units left behind, the ledger of what no later
-- window will fetch again, and thresholds that ran out below its end, with what they held; those of a failed unit
-- wait for it. `own`: the groups with clocks of their own, which the common clock leaves alone.
with done as (
    update mentat_reporter.run_window set state = 'done' where id = %(id)s returning id
), units as (
    delete from mentat_reporter.unit_done where window_id in (select id from done)
), ledger as (
    delete from mentat_reporter.considered c
    where c.severity = %(severity)s and c.storagetime < %(next_fetch_lo)s
      and case when %(clock)s = '' then not c.group_name = any(%(own)s::text[]) else c.group_name = %(clock)s end
), gone as (
    delete from mentat_reporter.threshold t
    where t.severity = %(severity)s and t.ttltime < %(hi)s
      and case when %(clock)s = '' then not t.group_name = any(%(own)s::text[]) else t.group_name = %(clock)s end
      and not exists (
          select from mentat_reporter.unit_retry r
          where r.group_name = t.group_name and r.severity = t.severity and r.direction = t.direction)
    returning group_name, severity, direction, shadow, event_class, source
)
delete from mentat_reporter.thresholded_event h
using gone
where h.group_name = gone.group_name and h.severity = gone.severity and h.direction = gone.direction
  and h.shadow = gone.shadow and h.event_class = gone.event_class and h.source = gone.source

-- name: before
-- What is to be known before windows of a severity are worked, each by its clock, its end and its row, if it has one:
-- events that were decided and that a stream from `since` on may bring again; the units whose problems relapsed by a
-- window's end, whether or not they have new events; without a direction, that a window fetches what the ledger
-- forgot: it goes back behind windows, of its own clock or the common one, that have a greater xid (the events
-- database was restored) or that covered a time ahead of the clock (which was set back, or the run was told that
-- time). `own`: the groups with clocks of their own. `until`: the last of the ends, which the planner can judge.
select direction, group_name, array_agg(event_id) from mentat_reporter.considered
where severity = %(severity)s and storagetime >= %(since)s
group by direction, group_name
union all
select distinct t.direction, t.group_name, null::text[]
from unnest(%(clocks)s::text[], %(his)s::timestamptz[]) as ending (clock, hi)
join mentat_reporter.threshold t
  on t.severity = %(severity)s and t.ttltime <= ending.hi and t.ttltime <= %(until)s::timestamptz
 and case when ending.clock = '' then not t.group_name = any(%(own)s::text[]) else t.group_name = ending.clock end
join mentat_reporter.thresholded_event h
  on h.group_name = t.group_name and h.severity = t.severity and h.direction = t.direction
 and h.shadow = t.shadow and h.event_class = t.event_class and h.source = t.source
 and h.createtime >= t.relapsetime
union all
select null, null, null
where exists (
    select from mentat_reporter.run_window w
    join mentat_reporter.run_window b
      on b.severity = w.severity and b.clock in (w.clock, '') and b.hi > w.fetch_lo and b.hi <= w.lo
    where w.id = any(%(ids)s::bigint[]) and (b.own_xid > w.own_xid or b.opened < b.hi))

-- name: retries
-- Failed units, oldest window first. Those without a next attempt were given up.
select group_name, severity, direction, clock, lo, hi, fetch_lo, period, event_ids, attempts, next_attempt, error
from mentat_reporter.unit_retry
order by hi, group_name, direction

-- name: retry_later
-- A retry that failed again owes what it had this time: the rest is told to others. Otherwise what is owed adds
-- up.
insert into mentat_reporter.unit_retry as r
    (group_name, severity, direction, clock, lo, hi, fetch_lo, period, event_ids, attempts, next_attempt, error)
values (%(group)s, %(severity)s, %(direction)s, %(clock)s, %(lo)s, %(hi)s, %(fetch_lo)s, %(period)s::interval,
        %(event_ids)s::text[], %(attempts)s, %(next_attempt)s, %(error)s)
on conflict (group_name, severity, direction, hi) do update
set attempts = greatest(r.attempts, excluded.attempts),
    next_attempt = case when excluded.attempts = 0 then r.next_attempt else excluded.next_attempt end,
    error = case when excluded.attempts = 0 then r.error else excluded.error end,
    event_ids = case
        when %(is_retry)s then excluded.event_ids
        else array(select distinct unnest(r.event_ids || excluded.event_ids))
    end

-- name: retry_done
delete from mentat_reporter.unit_retry
where group_name = %(group)s and severity = %(severity)s and direction = %(direction)s and hi = %(hi)s

-- name: quarantine
insert into mentat_reporter.quarantine as q (kind, reference, error, first_seen, last_seen, count)
select bad.kind, bad.reference, bad.error, %(now)s, %(now)s, bad.count
from unnest(%(kinds)s::text[], %(references)s::text[], %(errors)s::text[], %(counts)s::bigint[])
     as bad (kind, reference, error, count)
on conflict (kind, reference) do update
set error = excluded.error, last_seen = excluded.last_seen, count = q.count + excluded.count

-- name: forget_windows
-- Keep a month of windows, the first of each clock, which says since when it runs, and its last two, which
-- say how far it is.
delete from mentat_reporter.run_window w
where w.state = 'done' and w.hi < %(before)s
  and w.hi > (select min(f.hi) from mentat_reporter.run_window f
              where f.clock = w.clock and f.severity = w.severity)
  and w.hi < (select l.hi from mentat_reporter.run_window l
              where l.clock = w.clock and l.severity = w.severity
              order by l.hi desc offset 1 limit 1)

-- name: told
-- What units of a severity told, held or owe since a time: for a restored events database, which is read a
-- day back.
select direction, name, array_agg(id) from (
    select case r.type when 'target' then 'target' else 'source' end as direction, g.name::text, told.id
    from reports_events r
    join asoc_groups_reports a on a.report_id = r.id
    join groups g on g.id = a.group_id
    cross join lateral jsonb_array_elements_text(r.statistics -> 'list_ids') as told (id)
    where r.severity::text = %(severity)s and r.parent_id is null and not r.flag_testdata
      and r.dt_to > (%(since)s::timestamptz at time zone 'utc')
    union
    select direction, group_name, event_id from mentat_reporter.thresholded_event
    where severity = %(severity)s and createtime >= %(since)s
    union
    select direction, group_name, unnest(event_ids) from mentat_reporter.unit_retry
    where severity = %(severity)s and hi > %(since)s
) as told
group by direction, name

-- name: consider
-- Write the ledger: what was decided of one unit's events.
insert into mentat_reporter.considered (event_id, group_name, severity, direction, storagetime)
select seen.id, %(group)s, %(severity)s, %(direction)s, seen.storagetime
from unnest(%(ids)s::text[], %(times)s::timestamptz[]) as seen (id, storagetime)
on conflict do nothing
