//! What happened to each message: triggers note every item that is inserted and every end of a
//! message, in the transaction that does it.

use sqlx::{Executor, PgPool, types::chrono::DateTime, types::chrono::Utc};

/// The test installs its own triggers.
const TABLES_AND_TRIGGERS: &str = "
    create schema zero_loss;
    create table zero_loss.entries (
        seq bigint generated always as identity primary key,
        at timestamptz not null default clock_timestamp(),
        message_sid text not null, what text not null, detail text not null
    );
    create index on zero_loss.entries (message_sid, seq);

    create function zero_loss.note_message() returns trigger language plpgsql as $$
    begin
        if tg_op = 'INSERT' then
            insert into zero_loss.entries (message_sid, what, detail)
            values (new.message_sid, 'accepted', new.state);
        elsif tg_op = 'DELETE' then
            insert into zero_loss.entries (message_sid, what, detail)
            values (old.message_sid, 'deleted', old.state);
        elsif new.state <> old.state then
            insert into zero_loss.entries (message_sid, what, detail)
            values (new.message_sid, 'ended', new.state);
        end if;
        return null;
    end $$;
    create trigger zero_loss_note after insert or update or delete on pigeonhole.inbound_messages
        for each row execute function zero_loss.note_message();

    create function zero_loss.note_item() returns trigger language plpgsql as $$
    begin
        insert into zero_loss.entries (message_sid, what, detail)
        values (new.source_metadata ->> 'message_sid', 'item', new.item_type);
        return null;
    end $$;
    create trigger zero_loss_note after insert on enrichment_items
        for each row execute function zero_loss.note_item();";

/// What the database has of one message.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct MessageEntry {
    pub(super) message_sid: String,
    pub(super) state: String,
    pub(super) source: String,
    pub(super) finished_at: Option<DateTime<Utc>>,
    /// How often it was accepted, and how often it ended.
    pub(super) accepted: i64,
    pub(super) ended: i64,
    /// How many items were inserted, and how many there are.
    pub(super) inserted: i64,
    pub(super) items: i64,
}

const MESSAGES: &str = "
    select m.message_sid, m.state, coalesce(to_jsonb(m) ->> 'source', '-') as source, m.finished_at,
        e.accepted, e.ended, e.inserted, coalesce(i.items, 0) as items
    from pigeonhole.inbound_messages as m
    join (
        select message_sid, count(*) filter (where what = 'accepted') as accepted,
            count(*) filter (where what = 'ended') as ended,
            count(*) filter (where what = 'item') as inserted
        from zero_loss.entries group by message_sid
    ) as e using (message_sid)
    left join (
        select source_metadata ->> 'message_sid' as message_sid, count(*) as items
        from enrichment_items group by 1
    ) as i using (message_sid)";

/// The ledger of one database.
pub(super) struct MessageLedger {
    pool: PgPool,
}

impl MessageLedger {
    pub(super) async fn open(pool: &PgPool) -> Self {
        pool.execute(sqlx::raw_sql(TABLES_AND_TRIGGERS))
            .await
            .unwrap();
        Self { pool: pool.clone() }
    }

    pub(super) async fn messages(&self) -> Vec<MessageEntry> {
        sqlx::query_as(MESSAGES)
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// The number of messages that have ended, and of those that have not.
    pub(super) async fn counts(&self) -> (i64, i64) {
        sqlx::query_as(
            "select count(*) filter (where state <> 'received'), count(*) filter (where state = 'received')
             from pigeonhole.inbound_messages",
        )
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }

    /// Everything that the database knows of a message.
    pub(super) async fn story(&self, sid: &str) -> String {
        let mut lines: Vec<String> = sqlx::query_scalar(
            "select format('    %s %s %s', at, what, detail)
             from zero_loss.entries where message_sid = $1 order by seq",
        )
        .bind(sid)
        .fetch_all(&self.pool)
        .await
        .unwrap();
        let more: Vec<String> = sqlx::query_scalar(
            "select format('    now: %s, and its reply %s', to_jsonb(m) - 'sealed' - 'sender_index', s.state)
             from pigeonhole.inbound_messages as m left join pigeonhole.sends as s on s.id = m.reply
             where m.message_sid = $1
             union all
             select format('    job %s: ready %s, run at %s, attempts %s, claim %s, by %s',
                 id, ready, run_at, attempts, claim, locked_by)
             from queue.jobs where args::text like '%' || $1 || '%'
             union all
             select format('    dead: %s %s', reason, last_error)
             from queue.dead_jobs where args::text like '%' || $1 || '%'",
        )
        .bind(sid)
        .fetch_all(&self.pool)
        .await
        .unwrap();
        lines.extend(more);
        if lines.is_empty() {
            lines.push("    the database has never heard of it".to_owned());
        }
        lines.join("\n")
    }
}
