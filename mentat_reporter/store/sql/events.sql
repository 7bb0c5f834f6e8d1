-- Reads of the events database. Nothing here writes.

-- name: stream
-- The events of a severity in either direction that name a group, stored in [lo, hi); `test` picks
-- Test events alone or leaves them out, worded so that postgres_fdw can pass it on, and with it the join. Messages
-- come as bytes: one that is no UTF-8 stops nobody.
select e.id, e.storagetime at time zone 'utc', e.eventclass, e.targetclass,
       case when cardinality(e.resolvedabuses) > 0 then e.eventseverity end,
       case when cardinality(e.targetabuses) > 0 then e.targetseverity end,
       e.shadow_reporting, e.shadow_reporting_target,
       j.event
from events e
left join events_json j on j.id = e.id
where e.storagetime >= %(lo)s::timestamp and e.storagetime < %(hi)s::timestamp
  and ('Test' = any(e.category) is not distinct from true) = %(test)s::boolean
  and (
      (e.eventseverity = %(severity)s::text and cardinality(e.resolvedabuses) > 0)
      or (e.targetseverity = %(severity)s::text and cardinality(e.targetabuses) > 0)
  )

-- name: by_ids
-- Events that were held back, for a relapse.
select e.id, e.storagetime at time zone 'utc', e.eventclass, e.targetclass,
       e.eventseverity, e.targetseverity, e.shadow_reporting, e.shadow_reporting_target,
       j.event
from events e
left join events_json j on j.id = e.id
where e.id = any(%(ids)s::text[])

-- name: ahead
-- How many events that a regular run will report are stored at or after `hi`, by severity, and when
-- the first and last of them were stored. A time that no run reaches is nobody's news: such events are counted
-- without a severity, beside when the newest of the others was stored; bounded above for the planner's sake: of a
-- table without statistics it takes a third to lie beyond a bound, next to nothing between two.
select severity, count(*), min(storagetime) at time zone 'utc', max(storagetime) at time zone 'utc'
from (
    select eventseverity as severity, storagetime from events
    where storagetime >= %(hi)s::timestamp and storagetime < '9000-01-01'::timestamp
      and cardinality(resolvedabuses) > 0 and 'Test' = any(category) is distinct from true
    union all
    select targetseverity, storagetime from events
    where storagetime >= %(hi)s::timestamp and storagetime < '9000-01-01'::timestamp
      and cardinality(targetabuses) > 0 and targetseverity is distinct from eventseverity
      and 'Test' = any(category) is distinct from true
) as waiting
where severity is not null
group by severity
union all
select null,
       (select count(*) from events
        where storagetime >= '9000-01-01'::timestamp and storagetime <= 'infinity'::timestamp),
       null,
       (select max(storagetime) at time zone 'utc' from events where storagetime < '9000-01-01'::timestamp)

-- name: snapshot
-- The transactions that may still store events with an earlier storage time (docs/reliability.md).
select pg_snapshot_xmin(pg_current_snapshot())::text, pg_current_xact_id()::text

-- name: elsewhere
-- Whether events are stored by transactions of other servers, which `snapshot` says nothing of: this one is a
-- replica; events, or a part of them, are foreign tables, or Citus may have dealt them to its workers.
select pg_is_in_recovery(),
       exists (
           select from pg_class
           where relkind = 'f' and oid in (select 'events'::regclass union all
                                           select relid from pg_partition_tree('events'))
       )
       or exists (select from pg_extension where extname = 'citus')
