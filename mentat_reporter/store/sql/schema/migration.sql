-- An administrator may have made it for a role that may make none.
do $$
begin
    if to_regnamespace('mentat_reporter') is null then
        create schema mentat_reporter;
    end if;
end
$$;

-- Which numbered files of this folder have been applied.
create table if not exists mentat_reporter.migration (
    number integer primary key,
    name text not null,
    applied timestamptz not null default now()
);
