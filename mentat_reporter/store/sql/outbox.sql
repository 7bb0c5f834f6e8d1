-- Mails between the unit that made them and the server that takes them. Who calls: store/outbox.py and store/mailed.py.

-- name: enqueue
-- Store finished mails with their recipients; one whose Message-ID stands already is left as it stands.
with mail as (
    insert into mentat_reporter.outbox
        (report_label, message_id, envelope_sender, message, sha256, state, fallback_used, created)
    select report_label, message_id, envelope_sender, message, sha256(message), 'pending', fallback_used,
           %(now)s::timestamptz
    from unnest(%(report_labels)s::text[], %(message_ids)s::text[], %(envelope_senders)s::text[],
                %(messages)s::bytea[], %(fallbacks)s::boolean[])
        with ordinality as given (report_label, message_id, envelope_sender, message, fallback_used, place)
    order by place
    on conflict (message_id) do nothing
    returning id, message_id
), recipient as (
    insert into mentat_reporter.outbox_recipient (outbox_id, address, state)
    select mail.id, given.address, 'pending'
    from unnest(%(recipient_message_ids)s::text[], %(addresses)s::text[]) as given (message_id, address)
    join mail using (message_id)
    on conflict do nothing
)
select id from mail order by id

-- name: told_by
-- The mails of reports, each with that of its summary if it is an extra report; `offset` has the index asked.
select given.label, own.id, own.message_id, summary.id, summary.message_id
from unnest(%(labels)s::text[]) as given (label)
left join lateral (
    select id, message_id from mentat_reporter.outbox where report_label = given.label offset 0
) as own on true
left join reports_events as report on report.label = given.label
left join reports_events as parent on parent.id = report.parent_id
left join lateral (
    select id, message_id from mentat_reporter.outbox where report_label = parent.label offset 0
) as summary on true
where own.id is not null or summary.id is not null
order by own.id desc, summary.id desc

-- name: due
-- Mails to be tried now, oldest first: those of `only`, or all when that is null.
select id
from mentat_reporter.outbox
where state in ('pending', 'deferred')
  and (next_attempt is null or next_attempt <= %(now)s)
  and (%(only)s::bigint[] is null or id = any (%(only)s::bigint[]))
order by id

-- name: mark_data_begun
-- Note that the server may take this mail from now on, if it is still ours. With `commit` off the disk lags behind.
update mentat_reporter.outbox
set data_begun = true
where id = %(id)s and state = 'sending' and attempts = %(attempts)s
  and set_config('synchronous_commit', %(commit)s, true) is not null
returning id

-- name: step
-- In one commit: settle a mail, if `id` names one that is still ours; claim the next, if `next` names one that is due.
with settled as (
    update mentat_reporter.outbox
    set state = %(state)s, next_attempt = %(next_attempt)s, smtp_code = %(code)s, smtp_text = %(text)s,
        ambiguous = ambiguous or %(ambiguous)s, data_begun = false,
        fallback_used = fallback_used or %(state)s = 'pending',
        settled = case when %(state)s = 'deferred' then settled else %(now)s end
    where id = %(id)s and state = 'sending' and attempts = %(attempts)s
    returning id
), recipient as (
    update mentat_reporter.outbox_recipient as recipient
    set state = given.state, code = given.code, text = given.text
    from settled,
         unnest(%(addresses)s::text[], %(states)s::text[], %(codes)s::integer[], %(texts)s::text[])
             as given (address, state, code, text)
    where recipient.outbox_id = settled.id and recipient.address = given.address
      and given.address <> all (%(fallback)s::text[])
), fallback as (
    insert into mentat_reporter.outbox_recipient (outbox_id, address, state)
    select settled.id, given.address, 'pending'
    from settled, unnest(%(fallback)s::text[]) as given (address)
    on conflict (outbox_id, address) do update set state = 'pending', code = null, text = null, told = null
), claimed as (
    update mentat_reporter.outbox
    set state = 'sending', attempts = attempts + 1, next_attempt = null, data_begun = false
    where id = (
        select id
        from mentat_reporter.outbox
        where id = %(next)s
          and state in ('pending', 'deferred')
          and (next_attempt is null or next_attempt <= %(now)s)
        for update skip locked
    )
    returning id, report_label, message_id, envelope_sender, message, attempts, fallback_used,
              coalesce(settled, created) as since
)
select (select count(*) from settled) as settled,
       claimed.id, claimed.report_label, claimed.message_id, claimed.envelope_sender, claimed.message,
       claimed.attempts, claimed.fallback_used, claimed.since,
       array(
           select recipient.address
           from mentat_reporter.outbox_recipient as recipient
           where recipient.outbox_id = claimed.id and recipient.state in ('pending', 'deferred')
           order by recipient.address
       ) as waiting,
       exists (
           select from mentat_reporter.outbox_recipient as recipient
           where recipient.outbox_id = claimed.id and recipient.state = 'sent'
       ) as reached
from (select) as always left join claimed on true

-- name: is_settled
-- Whether a mail stands as an attempt left it.
select exists (
    select from mentat_reporter.outbox
    where id = %(id)s and attempts = %(attempts)s and state = %(state)s
      and (state <> 'pending' or fallback_used)
)

-- name: release
-- Give back a mail that was claimed and not tried. The disk may lag behind.
update mentat_reporter.outbox
set state = 'pending', attempts = attempts - 1
where id = %(id)s and state = 'sending' and attempts = %(attempts)s and not data_begun
  and set_config('synchronous_commit', 'off', true) = 'off'

-- name: recover
-- Free what a killed run left in `sending`; where DATA may have begun that counts, and is held at the limit.
with left_over as (
    select id, data_begun and recoveries + 1 >= %(limit)s as held
    from mentat_reporter.outbox
    where state = 'sending' and (%(only)s::bigint[] is null or id = any (%(only)s::bigint[]))
)
update mentat_reporter.outbox
set state = case when held then 'held' else 'pending' end,
    settled = case when held then %(now)s else settled end,
    recoveries = recoveries + data_begun::integer,
    ambiguous = ambiguous or data_begun,
    data_begun = false,
    next_attempt = null
from left_over
where outbox.id = left_over.id and state = 'sending'
returning report_label, message_id, state

-- name: counts
-- Mails by state.
select state, count(*) from mentat_reporter.outbox group by state
