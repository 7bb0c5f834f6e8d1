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
