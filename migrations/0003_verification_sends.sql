-- One row a verification SMS. It is committed before Twilio is asked, so that an answer that never came leaves a trace.

create table pigeonhole.verification_sends (
    id uuid primary key,
    user_phone_number_id uuid not null references user_phone_numbers (id) on delete cascade,
    state text not null default 'pending'
        check (state in ('pending', 'sending', 'sent', 'delivered', 'undelivered', 'failed', 'unknown')),
    twilio_sid text unique,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create index verification_sends_number on pigeonhole.verification_sends (user_phone_number_id, created_at);
