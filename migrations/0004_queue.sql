-- The queue: see crates/queue. A job is ready (a worker may claim it now), or not: then `run_at` is a timer, for a
-- scheduled job its due time, for a running one the end of its lease. When a timer has run out the job is ready again,
-- so a dead worker's jobs come back by themselves.
--
-- Two small partial indexes serve the two scans, and neither sees the other's rows: a million scheduled jobs cost a
-- claim nothing.

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
    -- Every job leaves dead rows behind: clear them away early and without rest, also those that were only inserted.
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
);

create index jobs_ready on queue.jobs (kind, position, id) where ready;
create index jobs_timers on queue.jobs (run_at) where not ready;
create index jobs_lanes on queue.jobs (lane, position) where ready and lane is not null;
create unique index jobs_unique_key on queue.jobs (unique_key) where unique_key is not null;

comment on column queue.jobs.position is
    'Order among the ready jobs of a kind: the time it became ready, moved by its priority and by its place in its lane.';
comment on column queue.jobs.run_at is 'While not ready: due time of a scheduled job, end of the lease of a running one.';
comment on column queue.jobs.claim is
    'The fence: every claim adds 1, so does every putting back, and every write of an outcome must name it.';
comment on column queue.jobs.lane is 'Jobs of one lane take turns with those of other lanes, whatever their number.';
comment on column queue.jobs.locked_by is 'The worker that runs it, for people to read; null when nobody does.';
comment on column queue.jobs.errors is 'The last failed attempts: [{attempt, at, error}], at most 10.';

create table queue.dead_jobs (
    id bigint primary key,
    kind text not null,
    died_at timestamptz not null default now(),
    reason text not null check (reason in ('discarded', 'attempts_exhausted', 'undecodable', 'by_operator')),
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
    'The fence as it stood: a requeued job goes on from there, so that nobody who held it before can write to it.';

create index dead_jobs_kind on queue.dead_jobs (kind, died_at, id);
create index dead_jobs_died_at on queue.dead_jobs (died_at, id);

-- Kinds that nobody claims until they are resumed.
create table queue.paused (
    kind text primary key,
    paused_at timestamptz not null default now(),
    reason text
);

-- Jobs that are enqueued by the clock.
create table queue.schedules (
    name text primary key,
    cron text not null,
    next_run_at timestamptz not null,
    last_run_at timestamptz
);

-- Who is at work, for people to read: nothing depends on it.
create table queue.workers (
    name text primary key,
    started_at timestamptz not null,
    seen_at timestamptz not null default now(),
    kinds text[] not null,
    slots int not null,
    held int not null
);

-- How attempts ended, by kind and minute, for people to read.
create table queue.throughput (
    kind text not null,
    minute timestamptz not null,
    completed bigint not null default 0,
    failed bigint not null default 0,
    primary key (kind, minute)
);

-- Per-key limits (GCRA): the theoretical arrival time, in nanoseconds since the Unix epoch.
create table queue.rate_limits (
    key text primary key,
    tat_ns bigint not null
);

-- Where a new job of this lane and priority stands among the ready ones. Each job of a lane stands a second behind the
-- one before it, so a lane with a backlog yields to every lane without one, and lanes with one take turns. A priority
-- is a head start of ten minutes for each step below 0, and as much of a handicap for each above.
--
-- PL/pgSQL, here and below, because a session keeps the plans of its statements; those of an SQL function are made anew
-- in every statement that calls it.
create function queue.new_position(lane text, priority smallint) returns timestamptz language plpgsql stable
set enable_seqscan = off set enable_sort = off set jit = off -- or the plan of an empty table is kept when it is full
as $$
declare
    arrival timestamptz := now() + priority * interval '10 minutes';
begin
    if lane is null then
        return arrival;
    end if;
    return greatest(arrival, (
        select jobs.position + interval '1 second' from queue.jobs
        where jobs.lane = new_position.lane and jobs.ready
        order by jobs.position desc limit 1
    ));
end $$;

-- A job's errors with one more, and the oldest left out when there are more than ten.
create function queue.with_error(errors jsonb, attempt smallint, error text) returns jsonb language sql stable as $$
    select case when jsonb_array_length(errors) >= 10 then errors - 0 else coalesce(errors, '[]') end
        || jsonb_build_array(jsonb_build_object('attempt', attempt, 'at', now(), 'error', error))
$$;
