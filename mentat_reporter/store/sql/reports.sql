-- Stored reports.

-- name: taken
-- Which of these labels stand already.
select label from reports_events where label = any(%(labels)s::text[])

-- name: insert
-- Reports as JSON objects whose keys are columns, some hundred in one statement.
insert into reports_events
    (createtime, parent_id, label, severity, type, dt_from, dt_to, delta, flag_shadow, flag_testdata,
     flag_mailed, evcount_rep, evcount_all, evcount_new, evcount_flt, evcount_flt_blk, evcount_det,
     evcount_det_blk, evcount_thr, evcount_thr_blk, evcount_rlp, mail_to, mail_dt, statistics,
     filtering, structured_data)
select createtime, parent_id, label, severity, type, dt_from, dt_to, delta, flag_shadow, flag_testdata,
       flag_mailed, evcount_rep, evcount_all, evcount_new, evcount_flt, evcount_flt_blk, evcount_det,
       evcount_det_blk, evcount_thr, evcount_thr_blk, evcount_rlp, mail_to, mail_dt, statistics,
       filtering, structured_data
from json_populate_recordset(null::reports_events, %(reports)s::json)
returning label, id

-- name: link
-- The groups of each report's chain. Returns the names that there are.
insert into asoc_groups_reports (group_id, report_id)
select g.id, link.report_id
from unnest(%(groups)s::text[], %(reports)s::integer[]) as link (group_name, report_id)
join groups g on g.name = link.group_name
returning (select g.name from groups g where g.id = group_id)

-- name: newest
-- The labels of the newest reports, of so many days before the last.
select label from reports_events
where createtime >= (select max(createtime) from reports_events) - make_interval(days => %(days)s::integer)
order by createtime desc, id desc
limit %(most)s::integer

-- name: listed
-- What an index says of these reports, the newest first. Beyond `most` extras are left out first. Of long
-- lists it has the beginning.
with chosen as (
    select * from reports_events where label = any(%(labels)s::text[])
    order by type = 'extra', createtime desc, id desc
    limit %(most)s::integer
)
select r.label, r.type::text, r.severity::text, r.flag_shadow, r.flag_testdata, r.flag_mailed,
       coalesce(r.createtime, r.dt_to) at time zone 'utc', r.evcount_rep,
       array(
           select g.name from asoc_groups_reports a join groups g on g.id = a.group_id
           where a.report_id = r.id order by g.name
       ),
       seen.classes[:%(classes)s::integer], cardinality(seen.classes),
       seen.addresses[:%(addresses)s::integer], cardinality(seen.addresses)
from chosen r
cross join lateral (
    select coalesce(array_agg(distinct of_class.name), '{}') as classes,
           coalesce(array_agg(distinct line.address) filter (where line.address is not null), '{}') as addresses
    from (values ('regular'), ('relapsed')) half (key)
    cross join lateral jsonb_each(r.structured_data -> half.key) of_class (name, lines)
    left join lateral (
        select jsonb_object_keys(of_class.lines) where r.type <> 'target'
        union all
        select jsonb_path_query(of_class.lines, '$.detector_data.*.target_list_data.relevant_ips[*]') #>> '{}'
        where r.type = 'target'
    ) line (address) on true
) seen
order by r.createtime desc, r.id desc

-- name: figures
-- How many of these reports there are, and the events of those that are no extras, by severity.
select severity::text, count(*)::integer, coalesce(sum(evcount_rep) filter (where type <> 'extra'), 0)::bigint
from reports_events where label = any(%(labels)s::text[])
group by severity
