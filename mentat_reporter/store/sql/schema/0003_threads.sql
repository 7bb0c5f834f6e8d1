-- Threads: a relapse answers the mail that first told of its problem.

-- Stays when a relapse renews the threshold; where that was before there was this column, it is the last report.
alter table mentat_reporter.threshold add column first_label text;
update mentat_reporter.threshold set first_label = report_label;
alter table mentat_reporter.threshold alter column first_label set not null;

-- the mail of a report
create index outbox_report_label on mentat_reporter.outbox (report_label);
