-- Replies to messages, who wants none, and looking back at messages.

-- Who has told us to stop, and who has taken that back. Kept by number, whoever's it is, and when its user is gone, too:
-- a STOP is to be respected for ever. Messages may be processed in another order than they came in, so the time of the
-- message decides, and a START leaves a row as well.
create table pigeonhole.opt_outs (
    number_index text primary key,
    opted_out boolean not null,
    since timestamptz not null,
    source text not null check (source in ('keyword', 'twilio'))
);

comment on column pigeonhole.opt_outs.number_index is 'Blind index of the address, never the address.';
comment on column pigeonhole.opt_outs.since is 'When the message came in that says so, or Twilio told us.';

-- A reply may go to somebody who is no user.
alter table pigeonhole.sends
    alter column user_id drop not null,
    add column reply_kind text check (reply_kind in
        ('processed', 'not_linked', 'rate_limited', 'failed', 'media_too_large', 'media_unsupported')),
    add column started_at timestamptz,
    drop constraint sends_purpose_check,
    add constraint sends_purpose_check check (purpose in ('verification', 'reply')),
    add constraint sends_reply_kind check ((purpose = 'reply') = (reply_kind is not null)),
    add constraint sends_verification_user check (purpose = 'reply' or user_id is not null);

comment on column pigeonhole.sends.user_id is 'Whose doing it is; null for a reply to a number that is nobody''s.';
comment on column pigeonhole.sends.reply_kind is 'What a reply says.';
comment on column pigeonhole.sends.started_at is
    'When it first passed its limits. It does not pass them again if Twilio would not take it then.';

alter table pigeonhole.inbound_messages add column replayed_at timestamptz;

comment on column pigeonhole.inbound_messages.replayed_at is 'When an operator last ran it again.';

-- For looking back, and for erasing what ended long ago.
create index inbound_messages_received on pigeonhole.inbound_messages (received_at);
create index inbound_messages_sealed on pigeonhole.inbound_messages (finished_at)
    where sealed is not null and finished_at is not null;
