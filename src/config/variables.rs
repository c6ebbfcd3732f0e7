//! Every setting of the program. The flags, `--help`, `.env.example` and `docs/configuration.md`
//! are made from this list.

use jobs::default_reply_template;
use store::sends::ReplyKind;

use super::variable::Variable;

/// Each line: `plain` or `secret`, the name, what the value looks like, the default if there is
/// one, and the meaning in one line.
macro_rules! variables {
    ($($section:literal {
        $($kind:ident $name:ident: $value:literal $(= $default:expr)?, $help:literal;)*
    })*) => {
        &[$($(Variable {
            name: stringify!($name),
            value: $value,
            default: variables!(@default $($default)?),
            secret: variables!(@$kind),
            help: $help,
            section: $section,
        },)*)*]
    };
    (@default) => { None };
    (@default $default:expr) => { Some($default) };
    (@plain) => { false };
    (@secret) => { true };
}

/// All settings, in the order of `.env.example`.
pub const VARIABLES: &[Variable] = variables! {
    "Database" {
        secret DATABASE_URL: "postgres://user:password@host:5432/name",
            "The database. Connect directly or through session pooling: transaction pooling mixes up query results. Of several hosts (host1:5432,host2:5432) the one that can be written to is used";
        plain DATABASE_HOST: "HOST",
            "The database's host, where DATABASE_URL is not set";
        plain DATABASE_PORT: "PORT" = "5432",
            "The database's port, with DATABASE_HOST";
        plain DATABASE_NAME: "NAME",
            "The database's name, with DATABASE_HOST";
        plain DATABASE_USER: "USER",
            "The database's user, with DATABASE_HOST";
        secret DATABASE_PASSWORD: "PASSWORD",
            "The database user's password, with DATABASE_HOST";
        plain DATABASE_SSL: "BOOL" = "false",
            "Require TLS, with DATABASE_HOST";
        plain DATABASE_POOL_MAX: "N" = "10",
            "Most database connections for requests and jobs; a worker makes up to 9 more for its queue and metrics, any process 2 for its operators";
    }
    "Listeners" {
        plain LISTEN_ADDR: "IP:PORT" = "127.0.0.1:3000",
            "The address where the receiver listens";
        plain ADMIN_ADDR: "IP:PORT" = "127.0.0.1:9464",
            "The address of metrics, health checks and the operator's page. Never make it public";
        secret ADMIN_TOKEN: "TOKEN",
            "The password of the operator's page; without one the page is served on loopback addresses only";
        plain PUBLIC_BASE_URL: "https://sms.example.com",
            "The URL at which Twilio reaches the receiver; signatures cover its exact text";
    }
    "Twilio" {
        plain TWILIO_ACCOUNT_SID: "AC…",
            "Your account's SID; webhooks of other accounts are refused";
        secret TWILIO_AUTH_TOKEN: "TOKEN[,TOKEN]",
            "The account's auth token, which signs webhooks; two tokens, comma-separated, during a rotation";
        secret TWILIO_AUTH_TOKENS_RETIRED: "TOKEN[,TOKEN]",
            "Tokens that are no longer accepted, so that the log can tell when they are still in use";
        plain TWILIO_PHONE_NUMBER: "+1…",
            "Your number at Twilio, in E.164";
        plain TWILIO_MESSAGING_SERVICE_SID: "MG…",
            "A messaging service at Twilio that sends SMS, in place of TWILIO_PHONE_NUMBER";
        plain TWILIO_API_BASE_URL: "URL" = "https://api.twilio.com",
            "Twilio's REST API; change it only for tests";
    }
    "Encryption" {
        secret ENCRYPTION_KEY: "64 HEX DIGITS",
            "Seals and opens personal data in the database; make one with `openssl rand -hex 32`";
        secret ENCRYPTION_KEYS_OLD: "64 HEX DIGITS[,…]",
            "Earlier keys, which open the data that they sealed";
    }
    "Phone number API" {
        secret JWT_SECRET: "SECRET",
            "The secret of the front end's bearer tokens (HS256), at least 32 bytes; without it and JWT_JWKS the phone number API is off";
        plain JWT_JWKS: "FILE|URL",
            "The public keys of the front end's bearer tokens (RS256, ES256): a JWKS file, or its URL";
        plain JWT_ISSUER: "ISSUER",
            "The issuer that bearer tokens must name";
        plain JWT_AUDIENCE: "AUDIENCE",
            "The audience that bearer tokens must name";
        plain CORS_ALLOWED_ORIGINS: "ORIGIN[,…]",
            "The front end's origins, whose pages may use the phone number API, such as https://app.example.com";
        plain TRUSTED_PROXIES: "CIDR[,…]",
            "Reverse proxies whose X-Forwarded-For is trusted; without them, limits count by the connecting address";
    }
    "Workers" {
        plain WORKER_CONCURRENCY: "N" = "300",
            "How many messages a worker processes at once; they share their commits. It sends at most 100 SMS of a kind at once";
        plain WORKER_NAME: "NAME",
            "The worker's name for operators, HOST:PID if it is not set; nothing depends on it";
        plain JOB_LEASE_SECONDS: "SECONDS" = "30",
            "How long the jobs of a dead worker wait before another worker claims them";
        plain DEAD_LETTER_RETENTION_DAYS: "DAYS" = "90",
            "How long dead letters are kept, to be looked at and requeued";
        plain SHUTDOWN_DELAY_SECONDS: "SECONDS" = "0",
            "How long the receiver still accepts requests after SIGTERM or SIGINT, with /readyz failing, so that load balancers notice";
        plain SHUTDOWN_GRACE_SECONDS: "SECONDS" = "20",
            "How long running jobs may continue after SIGTERM or SIGINT";
    }
    "Messages" {
        plain SMS_ENRICHMENT_ENABLED: "BOOL" = "true",
            "false: messages are accepted, and end without items";
        plain RATE_LIMIT_MESSAGES_PER_HOUR: "N" = "20",
            "How many messages of one user are processed in an hour, evenly spaced once the burst is used up";
        plain RATE_LIMIT_BURST: "N" = "20",
            "How many messages of a user are processed without delay after a quiet time";
        plain RATE_LIMIT_ACTION: "delay|reject" = "delay",
            "What happens to a message beyond the limit: delay gives it a reservation for a later start, reject ends it without items";
        plain RATE_LIMIT_MAX_DELAY: "TIME" = "24h",
            "The longest delay, such as 90s, 30m, 24h or 7d; a message that would wait longer ends without items";
        plain MESSAGE_RETENTION_DAYS: "DAYS" = "7",
            "How long the text of a message is kept, sealed, after the message has ended; until then the message can be replayed. Its row and items stay";
    }
    "Recovery" {
        plain RECOVERY: "on|off" = "on",
            "Fetch messages from Twilio that no webhook brought, because we were away for longer than Twilio tries. Costs a few requests every two minutes";
        plain RECOVERY_NUMBERS: "+1…[,+1…]",
            "Your numbers whose messages are recovered; without it, all numbers of the account whose webhook is at PUBLIC_BASE_URL";
    }
    "Media" {
        plain MEDIA_STORE: "URL" = "file:///var/lib/pigeonhole/media",
            "Where the files of messages are stored, encrypted: file:///folder, s3://bucket/prefix, gs://… or az://…; all workers need the same value";
        plain MAX_MEDIA_SIZE_MB: "MB" = "5",
            "The largest media file that is accepted; one MB is 1024 × 1024 bytes";
        plain MEDIA_RETENTION_DAYS: "DAYS" = "30",
            "How long the files of messages are kept; 0: until the message is processed";
        plain DELETE_MEDIA_AT_TWILIO: "BOOL" = "false",
            "true: Twilio's copy of a message's files is deleted once the message is processed; otherwise Twilio keeps it";
        plain MEDIA_EXTRA_HOSTS: "HOST:PORT[,…]",
            "Further hosts that may serve media, also over http and inside your network; only for tests";
        plain AWS_ACCESS_KEY_ID: "ID",
            "For s3://, where the machine has no role of its own";
        secret AWS_SECRET_ACCESS_KEY: "SECRET",
            "For s3://, the secret of AWS_ACCESS_KEY_ID";
        secret AWS_SESSION_TOKEN: "TOKEN",
            "For s3://, with temporary credentials";
        plain AWS_REGION: "REGION",
            "For s3://, the bucket's region";
        plain AWS_ENDPOINT_URL: "URL",
            "For s3://, a service other than Amazon's with the same protocol";
        plain GOOGLE_APPLICATION_CREDENTIALS: "FILE",
            "For gs://, where the machine has no account of its own: a file with a service account's key";
        plain AZURE_STORAGE_ACCOUNT_NAME: "NAME",
            "For az://, the storage account";
        secret AZURE_STORAGE_ACCOUNT_KEY: "KEY",
            "For az://, where the machine has no identity of its own";
    }
    "Extractor" {
        plain EXTRACTOR: "rules|gemini|openai" = "rules",
            "What turns a message into an item: rules, or a model, which then receives texts and files";
        plain EXTRACTOR_FALLBACK: "none|rules" = "rules",
            "When a model is unavailable or returns nothing usable: rules uses the rules, none fails the message";
        plain EXTRACTOR_TIMEOUT_SECONDS: "SECONDS" = "30",
            "How long a model may take for one message";
        plain EXTRACTOR_MAX_INLINE_MB: "MB" = "14",
            "How much of a message's files a model receives; the rules describe the rest";
        secret GOOGLE_GEMINI_API_KEY: "KEY",
            "Gemini's API key, with EXTRACTOR=gemini";
        plain GEMINI_MODEL: "MODEL" = "gemini-flash-latest",
            "The Gemini model";
        plain GEMINI_BASE_URL: "URL" = "https://generativelanguage.googleapis.com",
            "Gemini's API; change it only for tests";
        secret OPENAI_API_KEY: "KEY",
            "The key for OPENAI_BASE_URL; an endpoint of your own may need none";
        plain OPENAI_MODEL: "MODEL",
            "The model at OPENAI_BASE_URL, with EXTRACTOR=openai";
        plain OPENAI_BASE_URL: "URL" = "https://api.openai.com/v1",
            "An endpoint with OpenAI's protocol, version included";
    }
    "Replies" {
        plain REPLIES: "all|problems|none" = "all",
            "Which messages get a reply. Each reply is an SMS that costs money; limits bound them in any case";
        plain REPLY_PROCESSED: "TEXT" = default_reply_template(ReplyKind::Processed),
            "The reply to a message that was processed";
        plain REPLY_NOT_LINKED: "TEXT" = default_reply_template(ReplyKind::NotLinked),
            "The reply to a number that no user has linked";
        plain REPLY_RATE_LIMITED: "TEXT" = default_reply_template(ReplyKind::RateLimited),
            "The reply to a message beyond the rate limit; {wait} is filled in";
        plain REPLY_FAILED: "TEXT" = default_reply_template(ReplyKind::Failed),
            "The reply to a message that could not be processed";
        plain REPLY_MEDIA_TOO_LARGE: "TEXT" = default_reply_template(ReplyKind::MediaTooLarge),
            "The reply to an attachment that is too large; {limit} is filled in";
        plain REPLY_MEDIA_UNSUPPORTED: "TEXT" = default_reply_template(ReplyKind::MediaUnsupported),
            "The reply to an attachment of a type that is not supported";
    }
    "Verification SMS" {
        plain VERIFICATION_CODE_EXPIRY_MINUTES: "MINUTES" = "10",
            "How long a verification code is valid";
        plain VERIFICATION_MESSAGE: "TEXT" = "Your verification code is {code}. It expires in {minutes} minutes.",
            "The verification SMS; {code} and {minutes} are filled in";
        plain VERIFICATION_COUNTRIES: "CC[,CC]" = "US,CA",
            "Countries whose numbers may be linked. Each SMS costs money, and attackers choose expensive countries";
        plain VERIFICATION_IP_HOURLY_LIMIT: "N" = "10",
            "Verification SMS in an hour for one IP address (one /64 of IPv6)";
        plain VERIFICATION_PREFIX_HOURLY_LIMIT: "N" = "20",
            "Verification SMS in an hour to numbers with the same first eight digits";
        plain VERIFICATION_COUNTRY_HOURLY_LIMIT: "N" = "200",
            "Verification SMS in an hour to one country";
        plain VERIFICATION_DAILY_BUDGET: "N" = "1000",
            "Verification SMS in 24 hours, in all";
        plain SMS_PRICE_ESTIMATE: "DOLLARS" = "0.0083",
            "The approximate price of an SMS. Only the metric of a day's spending depends on it";
    }
    "Logs and traces" {
        plain LOG_FORMAT: "pretty|json" = "pretty",
            "The format of log lines";
        plain RUST_LOG: "FILTER" = "info",
            "Which log lines are written: a level, or `target=level,…`";
        plain OTEL_EXPORTER_OTLP_ENDPOINT: "URL",
            "The collector of traces, by OTLP over HTTP, such as http://127.0.0.1:4318; without it there are no traces";
        secret OTEL_EXPORTER_OTLP_HEADERS: "NAME=VALUE,…",
            "Headers for the collector of traces, such as its token";
        plain OTEL_SERVICE_NAME: "NAME" = "pigeonhole",
            "The service name of the traces";
        plain OTEL_TRACES_SAMPLER_ARG: "SHARE" = "1",
            "The share of traces that is kept, from 0 to 1";
    }
};
