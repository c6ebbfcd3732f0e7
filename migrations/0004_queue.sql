-- The queue: see crates/queue. `run_at` is schedule, backoff and lease in one, so a claim moves one column and a dead
-- worker's jobs become due again by themselves.

create schema if not exists queue;

create table queue.jobs (
    id bigint generated always as identity primary key,
    run_at timestamptz not null default now(),
    created_at timestamptz not null default now(),
    claim int not null default 0,
    attempts smallint not null default 0,
    max_attempts smallint not null,
    kind text not null,
    locked_by text,
    args json not null,
    last_error text
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

create index jobs_due on queue.jobs (kind, run_at, id);

comment on column queue.jobs.run_at is 'Due time of a waiting job, end of the lease of a running one.';
comment on column queue.jobs.claim is 'The fence: every claim adds 1, so does every putting back, and every write of an outcome must name it.';
comment on column queue.jobs.locked_by is 'The worker that runs it, for people to read; null when nobody does.';

create table queue.dead_jobs (
    id bigint primary key,
    kind text not null,
    died_at timestamptz not null default now(),
    reason text not null check (reason in ('discarded', 'attempts_exhausted', 'undecodable')),
    created_at timestamptz not null,
    attempts smallint not null,
    max_attempts smallint not null,
    args json not null,
    last_error text
);

create index dead_jobs_kind on queue.dead_jobs (kind, died_at);

-- Per-key limits (GCRA): the theoretical arrival time, in nanoseconds since the Unix epoch.
create table queue.rate_limits (
    key text primary key,
    tat_ns bigint not null
);
