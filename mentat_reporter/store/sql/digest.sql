-- What the admin is told once a day. Who calls: store/digest.py.

-- name: may_be_due
-- Whether no digest was made that day and there may be something to tell.
select not exists (select from mentat_reporter.digest where day = %(day)s)
   and (
       exists (select from mentat_reporter.outbox_recipient where state = 'failed' and told is null)
       or exists (select from mentat_reporter.outbox where state = 'held')
       or exists (select from mentat_reporter.unit_retry where next_attempt is null)
       or exists (
           select from mentat_reporter.digest join mentat_reporter.outbox using (message_id)
           where outbox.state = 'failed' and digest.made > '-infinity'
       )
   )

-- name: take_back
-- What earlier digests told that failed counts as not told, once for each: then its `made` is before all times.
-- Their own recipients count as told for good.
with failed as (
    select day, made
    from mentat_reporter.digest join mentat_reporter.outbox using (message_id)
    where outbox.state = 'failed' and made > '-infinity'
), marked as (
    update mentat_reporter.digest set made = '-infinity'
    from failed
    where digest.day = failed.day
), address as (
    update mentat_reporter.outbox_recipient as recipient set told = null
    from failed
    where recipient.told = failed.made
      and not exists (
          select from mentat_reporter.digest join mentat_reporter.outbox using (message_id)
          where outbox.id = recipient.outbox_id
      )
)
update mentat_reporter.quarantine set told = null
from failed
where quarantine.told = failed.made

-- name: tell_failed
-- Mark the addresses that failed since the last digest as told, and return them by mail. Chains are read as a
-- set: Mentat's table has no index by report.
with told as (
    update mentat_reporter.outbox_recipient set told = %(now)s
    where state = 'failed' and told is null
    returning outbox_id, address, code, text
), mail as (
    select id, report_label, message_id from mentat_reporter.outbox where id in (select outbox_id from told)
), chain as (
    select report.label, array_agg(groups.name::text order by groups.name::text) as groups
    from reports_events as report
    join asoc_groups_reports as asoc on asoc.report_id = report.id
    join groups on groups.id = asoc.group_id
    where report.label in (select report_label from mail)
    group by report.label
)
select mail.id, mail.report_label, mail.message_id,
       coalesce(chain.groups, '{}') as groups,
       array(
           select address from mentat_reporter.outbox_recipient
           where outbox_id = mail.id and state = 'sent' order by 1
       ) as reached,
       array(
           select address from mentat_reporter.outbox_recipient
           where outbox_id = mail.id and state in ('pending', 'deferred') order by 1
       ) as waiting,
       told.address, told.code, told.text
from told join mail on mail.id = told.outbox_id left join chain on chain.label = mail.report_label
order by mail.id, told.address

-- name: held
-- Mails that an operator must decide on, digests apart.
with mail as (
    select id, report_label, message_id, settled, smtp_code, smtp_text, recoveries
    from mentat_reporter.outbox as held
    where state = 'held'
      and not exists (select from mentat_reporter.digest where digest.message_id = held.message_id)
), chain as (
    select report.label, array_agg(groups.name::text order by groups.name::text) as groups
    from reports_events as report
    join asoc_groups_reports as asoc on asoc.report_id = report.id
    join groups on groups.id = asoc.group_id
    where report.label in (select report_label from mail)
    group by report.label
)
select mail.id, mail.report_label,
       coalesce(chain.groups, '{}') as groups,
       mail.message_id,
       array(
           select address from mentat_reporter.outbox_recipient
           where outbox_id = mail.id and state in ('pending', 'deferred') order by 1
       ) as recipients,
       mail.settled as since,
       case when mail.smtp_text is null then ''
            else concat_ws(' ', mail.smtp_code, mail.smtp_text) end as text,
       mail.recoveries
from mail left join chain on chain.label = mail.report_label
order by mail.id

-- name: given_up
-- Units that failed too often, and wait for an operator.
select group_name, severity, direction, lo, hi, cardinality(event_ids) as events, attempts, error
from mentat_reporter.unit_retry
where next_attempt is null
order by hi, group_name, severity, direction

-- name: tell_unusable
-- Mark quarantine seen since it was told of, and return the newest of each kind, but for mails that stand
-- elsewhere in the digest.
with fresh as (
    update mentat_reporter.quarantine set told = greatest(last_seen, %(now)s)
    where told is null or last_seen > told
    returning kind, reference, error, count, last_seen
), counted as (
    select fresh.*,
           count(*) over (partition by kind) as of_kind,
           row_number() over (partition by kind order by last_seen desc, reference) as place
    from fresh
    where kind <> 'mail' or not (
        exists (select from mentat_reporter.digest where message_id = reference)
        or exists (
            select from mentat_reporter.outbox where message_id = reference and state in ('failed', 'held')
        )
    )
)
select kind, reference, error, count, last_seen, of_kind
from counted
where place <= %(newest)s
order by kind, place

-- name: record
-- Note that this day's digest is made; no row if there is one.
insert into mentat_reporter.digest (day, made, message_id)
values (%(day)s, %(now)s, %(message_id)s)
on conflict (day) do nothing
returning day

-- name: count_as_told
-- Keep a digest that cannot be delivered out of the next one.
update mentat_reporter.outbox_recipient set told = %(now)s where outbox_id = any (%(ids)s::bigint[])
