create schema if not exists mentat_reporter;

-- Which numbered files of this folder have been applied.
create table if not exists mentat_reporter.migration (
    number integer primary key,
    name text not null,
    applied timestamptz not null default now()
);
