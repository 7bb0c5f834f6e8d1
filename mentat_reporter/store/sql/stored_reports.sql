-- Stored reports, read back for preview.

-- name: by_labels
-- Reports with the label of their summary and the names of their groups.
select r.label, r.type::text, r.severity::text, parent.label,
       r.dt_from at time zone 'utc', r.dt_to at time zone 'utc',
       coalesce(r.createtime, r.dt_to) at time zone 'utc',
       r.flag_shadow, r.flag_testdata, r.flag_mailed,
       r.evcount_rep, r.evcount_all, r.evcount_new, r.evcount_flt, r.evcount_flt_blk, r.evcount_det,
       r.evcount_det_blk, r.evcount_thr, r.evcount_thr_blk, r.evcount_rlp,
       r.mail_to::text[], r.statistics, r.structured_data, r.filtering,
       array(select g.name::text
             from asoc_groups_reports link
             join groups g on g.id = link.group_id
             where link.report_id = r.id
             order by g.name)
from reports_events r
left join reports_events parent on parent.id = r.parent_id
where r.label = any(%(labels)s::text[])

-- name: newest
-- The newest report of each type that a group has, or anybody when the group is empty.
select found.label
from unnest(enum_range(null::report_types)) as kind (type)
cross join lateral (
    select r.label
    from reports_events r
    where r.type = kind.type
      and r.severity::text = any(%(severities)s::text[])
      and r.flag_testdata = %(test)s::boolean
      and (%(group)s::text = '' or exists (
          select from asoc_groups_reports link
          join groups g on g.id = link.group_id
          where link.report_id = r.id and g.name = %(group)s::text))
    order by r.createtime desc, r.id desc
    limit 1
) as found

-- name: near
-- Labels to choose from when one does not exist: those of its day, and the newest ones.
(select label from reports_events where label like %(day)s::text order by label limit 5000)
union
(select label from reports_events order by createtime desc, id desc limit 200)

-- name: held_until
-- When the problems of a report that are still held back may be told again, be they its own or those of its
-- summary or extras.
select min(t.ttltime)
from reports_events r
join reports_events kin on coalesce(kin.parent_id, kin.id) = coalesce(r.parent_id, r.id)
join mentat_reporter.threshold t on t.report_label = kin.label
where r.label = %(label)s::text and t.ttltime >= r.dt_to at time zone 'utc'

-- name: sent
-- The beginning of a report's mail, with its headers.
select substring(message from 1 for 65536)
from mentat_reporter.outbox
where report_label = %(label)s::text
order by id
limit 1
