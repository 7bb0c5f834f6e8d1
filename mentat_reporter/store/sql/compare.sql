-- Stored reports, as `--compare` reads them.

-- name: reports
-- Reports whose windows end after `since` and at `hi` at the latest, with the problems that they tell; of those that end
-- after `lo` with the events, too. Target reports name no address.
select r.label, r.type::text, r.severity::text, r.flag_shadow,
       r.dt_from at time zone 'utc', r.dt_to at time zone 'utc',
       array(select g.name::text from asoc_groups_reports link join groups g on g.id = link.group_id
             where link.report_id = r.id order by g.name),
       case when r.dt_to > %(lo)s::timestamp
            then array(select jsonb_array_elements_text(
                case jsonb_typeof(r.statistics -> 'list_ids') when 'array' then r.statistics -> 'list_ids' end))
            else '{}' end,
       case when r.type <> 'target' then array(
           select array[class.key, address.key]
           from (values (r.structured_data -> 'regular'), (r.structured_data -> 'relapsed')) as part (classes)
           cross join lateral jsonb_each(case when jsonb_typeof(part.classes) = 'object' then part.classes end) class
           cross join lateral jsonb_each(case when jsonb_typeof(class.value) = 'object' then class.value end) address
       ) else '{}' end
from reports_events r
where r.dt_to > %(since)s::timestamp and r.dt_to <= %(hi)s::timestamp and not r.flag_testdata
order by r.dt_to, r.id
