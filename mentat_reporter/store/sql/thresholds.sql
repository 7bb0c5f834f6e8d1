-- Thresholds, and the events that they hold back.

-- name: thresholds
-- The thresholds of the problems that a unit saw.
select t.shadow, t.event_class, t.source, t.thresholdtime, t.relapsetime, t.ttltime, t.report_label,
       t.first_label
from mentat_reporter.threshold t
join unnest(%(shadows)s::boolean[], %(classes)s::text[], %(sources)s::text[]) as seen (shadow, class, source)
  on seen.shadow = t.shadow and seen.class = t.event_class and seen.source = t.source
where t.group_name = %(group)s and t.severity = %(severity)s and t.direction = %(direction)s

-- name: expired
-- The thresholds of a unit that have run out by `hi`, with what was held since they were set.
select t.shadow, t.event_class, t.source, t.thresholdtime, t.relapsetime, t.ttltime, t.report_label,
       t.first_label, h.event_id, h.createtime
from mentat_reporter.threshold t
left join mentat_reporter.thresholded_event h
  on h.group_name = t.group_name and h.severity = t.severity and h.direction = t.direction
 and h.shadow = t.shadow and h.event_class = t.event_class and h.source = t.source
 and h.createtime >= t.thresholdtime
where t.group_name = %(group)s and t.severity = %(severity)s and t.direction = %(direction)s
  and t.ttltime <= %(hi)s
order by t.event_class, t.source, h.createtime, h.event_id

-- name: forget_held
-- After a renewal: what was held before it has been told, or is too old to tell of.
delete from mentat_reporter.thresholded_event h
using unnest(%(shadows)s::boolean[], %(classes)s::text[], %(sources)s::text[]) as told (shadow, class, source)
where h.group_name = %(group)s and h.severity = %(severity)s and h.direction = %(direction)s
  and h.shadow = told.shadow and h.event_class = told.class and h.source = told.source
  and h.createtime < %(hi)s

-- name: renew
-- Set thresholds; never backwards, as when an old window is worked again.
insert into mentat_reporter.threshold as t
    (group_name, severity, direction, shadow, event_class, source,
     thresholdtime, relapsetime, ttltime, report_label, first_label)
select %(group)s, %(severity)s, %(direction)s, told.shadow, told.class, told.source,
       %(thresholdtime)s, %(relapsetime)s, %(ttltime)s, told.label, told.first_label
from unnest(%(shadows)s::boolean[], %(classes)s::text[], %(sources)s::text[], %(labels)s::text[],
            %(first_labels)s::text[]) as told (shadow, class, source, label, first_label)
on conflict (group_name, severity, direction, shadow, event_class, source) do update
set thresholdtime = excluded.thresholdtime, relapsetime = excluded.relapsetime,
    ttltime = excluded.ttltime, report_label = excluded.report_label, first_label = excluded.first_label
where excluded.thresholdtime >= t.thresholdtime

-- name: hold
-- Keep events under the problems that hold them back.
insert into mentat_reporter.thresholded_event
    (event_id, group_name, severity, direction, shadow, event_class, source, createtime)
select held.id, %(group)s, %(severity)s, %(direction)s, held.shadow, held.class, held.source, held.createtime
from unnest(%(ids)s::text[], %(shadows)s::boolean[], %(classes)s::text[], %(sources)s::text[],
            %(times)s::timestamptz[]) as held (id, shadow, class, source, createtime)
on conflict do nothing
