-- The tables of the job queue: see crates/queue. Its functions are in functions/queue.*.sql.
--
-- A job is ready (a worker may claim it now) or not. While it is not ready, `run_at` is a timer:
-- the due time of a scheduled job, or the end of the lease of a running job. When the timer has
-- expired, the job becomes ready again. The jobs of a dead worker return that way.
--
-- Two partial indexes serve the two scans. Neither contains the other's rows, so a million
-- scheduled jobs do not slow down a claim.

create schema if not exists queue;

create table queue.jobs (
    id bigint generated always as identity primary key,
    position timestamptz not null default now(),
    run_at timestamptz not null default now(),
    created_at timestamptz not null default now(),
    claimed_at timestamptz,
    claim int not null default 0,
    attempts smallint not null default 0,
    max_attempts smallint not null,
    priority smallint not null default 0,
    ready boolean not null default true,
    kind text not null,
    lane text,
    unique_key text,
    locked_by text,
    args json not null,
    trace text,
    errors jsonb
) with (
    -- Every job leaves dead rows. Vacuum runs early and without pauses, also for rows that were
    -- only inserted.
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
);

create index jobs_ready on queue.jobs (kind, position, id) where ready;
create index jobs_timers on queue.jobs (run_at) where not ready;
create index jobs_lanes on queue.jobs (lane, position) where ready and lane is not null;
create unique index jobs_unique_key on queue.jobs (unique_key) where unique_key is not null;

comment on column queue.jobs.position is
    'Order among the ready jobs of a kind: the time at which it became ready, moved by its '
    'priority and its lane.';
comment on column queue.jobs.run_at is
    'While not ready: the due time of a scheduled job, or the end of the lease of a running job.';
comment on column queue.jobs.claim is
    'The fence. Every claim and every release adds 1; a write of an outcome must name this number.';
comment on column queue.jobs.lane is
    'Lanes take turns: the jobs of one lane do not hold up those of another.';
comment on column queue.jobs.locked_by is
    'The worker that runs the job, for people to read; null when no worker runs it.';
comment on column queue.jobs.errors is
    'The last failed attempts, at most 10: [{attempt, at, error}].';

create table queue.dead_jobs (
    id bigint primary key,
    kind text not null,
    died_at timestamptz not null default now(),
    reason text not null
        check (reason in ('discarded', 'attempts_exhausted', 'undecodable', 'by_operator')),
    created_at timestamptz not null,
    claim int not null default 0,
    attempts smallint not null,
    max_attempts smallint not null,
    priority smallint not null,
    lane text,
    unique_key text,
    args json not null,
    trace text,
    last_error text,
    errors jsonb
);

comment on column queue.dead_jobs.claim is
    'The fence at the time of death. A requeued job continues from it, so that no former holder of '
    'the job can write to it.';

create index dead_jobs_kind on queue.dead_jobs (kind, died_at, id);
create index dead_jobs_died_at on queue.dead_jobs (died_at, id);

-- Job kinds that no worker claims until an operator resumes them.
create table queue.paused (
    kind text primary key,
    paused_at timestamptz not null default now(),
    reason text
);

-- Jobs that the workers enqueue at the times of a cron expression.
create table queue.schedules (
    name text primary key,
    cron text not null,
    next_run_at timestamptz not null,
    last_run_at timestamptz
);

-- The running workers, for people to read: no code depends on these rows.
create table queue.workers (
    name text primary key,
    started_at timestamptz not null,
    seen_at timestamptz not null default now(),
    kinds text[] not null,
    concurrency int not null,
    held int not null
);

-- How many attempts completed and failed, by kind and minute, for people to read.
create table queue.throughput (
    kind text not null,
    minute timestamptz not null,
    completed bigint not null default 0,
    failed bigint not null default 0,
    primary key (kind, minute)
);

-- Rate limits by key (GCRA).
create table queue.rate_limits (
    key text primary key,
    tat_ns bigint not null
);

comment on column queue.rate_limits.tat_ns is
    'The theoretical arrival time of GCRA, in nanoseconds since the Unix epoch.';
