-- Reads of groups, rules, detectors and classes.

-- name: groups
select g.id, g.name, s.mode::text, s.locale, s.timezone, coalesce(s.redirect, false),
       s.emails_info, s.emails_low, s.emails_medium, s.emails_high, s.emails_critical,
       o.timing, coalesce(o.mute, false), o.template, o.attachments, coalesce(o.compress, false),
       o.max_attachment_size
from groups g
left join settings_reporting s on s.group_id = g.id
left join mentat_reporter.group_settings o on o.group_name = g.name
where g.enabled and g.name <> ''
order by g.name, s.id

-- name: own_timing
-- The groups that may have clocks of their own. Those of disabled groups go on: what happens
-- meanwhile is nobody's, as with the groups on the common clock.
select o.group_name, o.timing
from mentat_reporter.group_settings o
join groups g on g.name = o.group_name and g.name <> ''
where o.timing <> '{}'::jsonb

-- name: networks
select g.name, n.id, n.network::text, coalesce(n.rank, 0), n.is_base
from networks n
join groups g on g.id = n.group_id
where g.enabled and g.name <> ''

-- name: rules
-- Enabled and valid at `now`; global ones have no group.
select f.id, f.name, coalesce(g.name, ''), f.source_based, f.filter
from filters f
left join groups g on g.id = f.group_id
where f.enabled and (f.group_id is null or (g.enabled and g.name <> ''))
  and (f.valid_from is null or f.valid_from <= %(now)s::timestamp)
  and (f.valid_to is null or %(now)s::timestamp < f.valid_to)
order by f.id

-- name: detectors
select name, credibility from detectors where credibility <> 1

-- name: event_classes
select c.name, c.label_en, c.label_cz, c.reference, c.subclassing,
       c.displayed_main, c.displayed_source, c.displayed_target, c.displayed_attach, t.label, t.advice
from event_classes c
left join mentat_reporter.event_class_text t on t.class_name = c.name

-- name: hit
-- Rows are locked in their order, so that no two that count wait for each other.
with rule as (
    select f.id, h.count from filters f
    join unnest(%(rules)s::integer[], %(rule_hits)s::integer[]) as h (id, count) on h.id = f.id
    order by f.id for update of f
), detector as (
    select d.id, h.count from detectors d
    join unnest(%(detectors)s::text[], %(detector_hits)s::integer[]) as h (name, count) on h.name = d.name
    order by d.name for update of d
), hit_rules as (
    update filters set hits = hits + rule.count, last_hit = %(now)s::timestamp from rule where filters.id = rule.id
)
update detectors set hits = hits + detector.count from detector where detectors.id = detector.id
