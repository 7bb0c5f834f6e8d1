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
-- The labels of the newest reports, of so many days before the last. They are looked for among those that were
-- stored last, ten times as many: Mentat's table has no index on the time.
with last as (
    select id, createtime, label from reports_events order by id desc limit 10 * %(most)s::integer
)
select label from last
where createtime >= (select max(createtime) from last) - make_interval(days => %(days)s::integer)
order by createtime desc, id desc
limit %(most)s::integer

-- name: listed
-- What an index says of these reports, the newest first. Beyond `most` extras are left out first. Of long
-- lists it has the beginning. Chains are read as a set, since Mentat's table has no index by report; a report's
-- data are unpacked once, and its lines are taken from arrays, which no join can try to remember.
with chosen as (
    select id, label, type, severity, flag_shadow, flag_testdata, flag_mailed, createtime, dt_to, evcount_rep,
           structured_data
    from reports_events where label = any(%(labels)s::text[])
    order by type = 'extra', createtime desc, id desc
    limit %(most)s::integer
), chain as (
    select a.report_id, array_agg(g.name order by g.name) as names
    from asoc_groups_reports a join groups g on g.id = a.group_id
    where a.report_id in (select id from chosen)
    group by a.report_id
)
select r.label, r.type::text, r.severity::text, r.flag_shadow, r.flag_testdata, r.flag_mailed,
       coalesce(r.createtime, r.dt_to) at time zone 'utc', r.evcount_rep,
       coalesce(chain.names, '{}'),
       seen.classes[:%(classes)s::integer], cardinality(seen.classes),
       seen.addresses[:%(addresses)s::integer], cardinality(seen.addresses)
from chosen r
left join chain on chain.report_id = r.id
cross join lateral (
    select coalesce(array_agg(distinct line.class), '{}') as classes,
           coalesce(array_agg(distinct line.address) filter (where line.address is not null), '{}') as addresses
    from (
        select of_class.name as class,
               unnest(array_append(  -- a class without lines is there too
                   case when r.type = 'target' then array(
                       select jsonb_path_query(
                           of_class.lines, '$.detector_data.*.target_list_data.relevant_ips[*]') #>> '{}')
                   else array(select jsonb_object_keys(of_class.lines)) end,
                   null)) as address
        from jsonb_each(jsonb_path_query_first(r.structured_data, 'strict $ ? (@.type() == "object")'))
            half (key, classes)
        cross join lateral jsonb_each(
            case when half.key in ('regular', 'relapsed') then half.classes else '{}' end) of_class (name, lines)
    ) line
) seen
order by r.createtime desc, r.id desc

-- name: figures
-- How many of these reports there are, and the events of those that are no extras, by severity.
select severity::text, count(*)::integer, coalesce(sum(evcount_rep) filter (where type <> 'extra'), 0)::bigint
from reports_events where label = any(%(labels)s::text[])
group by severity
