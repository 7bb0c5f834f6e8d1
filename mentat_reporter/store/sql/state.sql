-- The reporter's own state.

-- name: now
select now()

-- name: lock
-- One runner per database, on whatever host. The number is the word "mentatre" in ASCII.
select pg_try_advisory_lock(7882826979589059173)

-- name: clocks
-- What each clock has covered: its first lo, its last hi, and its window left open, if any.
select clock, severity, min(lo), max(hi),
       max(id) filter (where state = 'open')
from mentat_reporter.run_window
group by clock, severity

-- name: horizon
-- Where the next window of a clock begins to fetch, but for the margin: below it every transaction
-- that had an xid had ended by the last window's snapshot. Null: the snapshot is not known (replica).
select case
    when p.snap_xmin is null then null
    else coalesce(
        (select max(r.hi) from mentat_reporter.run_window r
         where r.clock = %(clock)s and r.severity = %(severity)s and r.own_xid <= p.snap_xmin),
        (select min(r.lo) from mentat_reporter.run_window r
         where r.clock = %(clock)s and r.severity = %(severity)s))
    end
from mentat_reporter.run_window p
where p.clock = %(clock)s and p.severity = %(severity)s
order by p.hi desc
limit 1

-- name: newest_xid
-- The greatest xid that this clock knows; greater than one's own: the database was restored.
select max(own_xid)::text from mentat_reporter.run_window
where clock = %(clock)s and severity = %(severity)s

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

-- name: units_done
select group_name, direction from mentat_reporter.unit_done where window_id = %(window)s

-- name: unit_done
insert into mentat_reporter.unit_done (window_id, group_name, direction)
values (%(window)s, %(group)s, %(direction)s)
on conflict do nothing

-- name: close_window
-- Mark a window done; what its units left behind is not needed any more.
with done as (
    update mentat_reporter.run_window set state = 'done' where id = %(id)s returning id
)
delete from mentat_reporter.unit_done where window_id in (select id from done)

-- name: considered
-- Events already decided in this severity that a stream from `since` on may bring again.
select direction, group_name, event_id from mentat_reporter.considered
where severity = %(severity)s and storagetime >= %(since)s

-- name: forget_considered
-- Purge what no later window and no retry of these groups will fetch again. `own`: the groups with
-- clocks of their own, which the common clock leaves alone.
delete from mentat_reporter.considered c
where c.severity = %(severity)s and c.storagetime < %(before)s
  and case when %(clock)s = '' then not c.group_name = any(%(own)s::text[]) else c.group_name = %(clock)s end
  and not exists (
      select from mentat_reporter.unit_retry r
      where r.severity = c.severity and r.group_name = c.group_name and r.direction = c.direction
        and c.storagetime >= r.fetch_lo and c.storagetime < r.hi)

-- name: thresholds
-- The thresholds of the problems that a unit saw.
select t.shadow, t.event_class, t.source, t.thresholdtime, t.relapsetime, t.ttltime, t.report_label
from mentat_reporter.threshold t
join unnest(%(shadows)s::boolean[], %(classes)s::text[], %(sources)s::text[]) as seen (shadow, class, source)
  on seen.shadow = t.shadow and seen.class = t.event_class and seen.source = t.source
where t.group_name = %(group)s and t.severity = %(severity)s and t.direction = %(direction)s

-- name: expired
-- The thresholds of a unit that have run out by `hi`, with what was held since they were set.
select t.shadow, t.event_class, t.source, t.thresholdtime, t.relapsetime, t.ttltime, t.report_label,
       h.event_id, h.createtime
from mentat_reporter.threshold t
left join mentat_reporter.thresholded_event h
  on h.group_name = t.group_name and h.severity = t.severity and h.direction = t.direction
 and h.shadow = t.shadow and h.event_class = t.event_class and h.source = t.source
 and h.createtime >= t.thresholdtime
where t.group_name = %(group)s and t.severity = %(severity)s and t.direction = %(direction)s
  and t.ttltime <= %(hi)s
order by t.event_class, t.source, h.createtime, h.event_id

-- name: relapsing
-- The units whose problems relapsed by `hi`, whether or not they have new events.
select distinct t.group_name, t.direction
from mentat_reporter.threshold t
join mentat_reporter.thresholded_event h
  on h.group_name = t.group_name and h.severity = t.severity and h.direction = t.direction
 and h.shadow = t.shadow and h.event_class = t.event_class and h.source = t.source
where t.severity = %(severity)s and t.ttltime <= %(hi)s and h.createtime >= t.relapsetime
  and case when %(clock)s = '' then not t.group_name = any(%(own)s::text[]) else t.group_name = %(clock)s end

-- name: forget_held
-- After a renewal: what was held before it has been told, or is too old to tell of.
delete from mentat_reporter.thresholded_event h
using unnest(%(shadows)s::boolean[], %(classes)s::text[], %(sources)s::text[]) as told (shadow, class, source)
where h.group_name = %(group)s and h.severity = %(severity)s and h.direction = %(direction)s
  and h.shadow = told.shadow and h.event_class = told.class and h.source = told.source
  and h.createtime < %(hi)s

-- name: forget_thresholds
-- Delete the thresholds of a clock that ran out below its watermark, with what they held; those of a
-- failed unit wait for it.
with gone as (
    delete from mentat_reporter.threshold t
    where t.severity = %(severity)s and t.ttltime < %(watermark)s
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

-- name: retries
-- Failed units, oldest window first. Those without a next attempt were given up.
select group_name, direction, clock, lo, hi, fetch_lo, period, attempts, next_attempt, error
from mentat_reporter.unit_retry
where severity = %(severity)s
order by hi, group_name, direction

-- name: retry_later
insert into mentat_reporter.unit_retry as r
    (group_name, severity, direction, clock, lo, hi, fetch_lo, period, attempts, next_attempt, error)
values (%(group)s, %(severity)s, %(direction)s, %(clock)s, %(lo)s, %(hi)s, %(fetch_lo)s, %(period)s::interval,
        %(attempts)s, %(next_attempt)s, %(error)s)
on conflict (group_name, severity, direction, hi) do update
set attempts = excluded.attempts, next_attempt = excluded.next_attempt, error = excluded.error

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
-- Keep a month of windows, and the first of each clock, which says since when it runs.
delete from mentat_reporter.run_window w
where w.state = 'done' and w.hi < %(before)s
  and w.hi > (select min(f.hi) from mentat_reporter.run_window f
              where f.clock = w.clock and f.severity = w.severity)

-- name: consider
-- Write the ledger: what was decided of one unit's events.
insert into mentat_reporter.considered (event_id, group_name, severity, direction, storagetime)
select seen.id, %(group)s, %(severity)s, %(direction)s, seen.storagetime
from unnest(%(ids)s::text[], %(times)s::timestamptz[]) as seen (id, storagetime)
on conflict do nothing

-- name: renew
-- Set thresholds; never backwards, as when an old window is worked again.
insert into mentat_reporter.threshold as t
    (group_name, severity, direction, shadow, event_class, source,
     thresholdtime, relapsetime, ttltime, report_label)
select %(group)s, %(severity)s, %(direction)s, told.shadow, told.class, told.source,
       %(thresholdtime)s, %(relapsetime)s, %(ttltime)s, told.label
from unnest(%(shadows)s::boolean[], %(classes)s::text[], %(sources)s::text[], %(labels)s::text[])
     as told (shadow, class, source, label)
on conflict (group_name, severity, direction, shadow, event_class, source) do update
set thresholdtime = excluded.thresholdtime, relapsetime = excluded.relapsetime,
    ttltime = excluded.ttltime, report_label = excluded.report_label
where excluded.thresholdtime >= t.thresholdtime

-- name: hold
-- Keep events under the problems that hold them back.
insert into mentat_reporter.thresholded_event
    (event_id, group_name, severity, direction, shadow, event_class, source, createtime)
select held.id, %(group)s, %(severity)s, %(direction)s, held.shadow, held.class, held.source, held.createtime
from unnest(%(ids)s::text[], %(shadows)s::boolean[], %(classes)s::text[], %(sources)s::text[],
            %(times)s::timestamptz[]) as held (id, shadow, class, source, createtime)
on conflict do nothing
