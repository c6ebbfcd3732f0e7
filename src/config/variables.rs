//! Every variable that the program reads: name, default, meaning. The flags, `--help`, `.env.example` and the table in
//! the README come from here.

use jobs::default_words;
use store::sends::ReplyKind;

/// One setting. Read from a flag, else from the environment, else from `.env`, else its default.
#[derive(Debug)]
pub struct Variable {
    /// The environment variable. Its flag is the same in lower case with dashes.
    pub name: &'static str,
    /// What the value looks like, for help.
    pub value: &'static str,
    /// The value when it is not set.
    pub default: Option<&'static str>,
    /// A secret has no flag: command lines are seen by everyone on the machine.
    pub secret: bool,
    /// One line of why.
    pub help: &'static str,
}

impl Variable {
    /// The flag, without its dashes.
    pub fn flag(&self) -> String {
        self.name.to_ascii_lowercase().replace('_', "-")
    }
}

const fn variable(
    name: &'static str,
    value: &'static str,
    default: Option<&'static str>,
    help: &'static str,
) -> Variable {
    Variable {
        name,
        value,
        default,
        secret: false,
        help,
    }
}

const fn secret(name: &'static str, value: &'static str, help: &'static str) -> Variable {
    Variable {
        name,
        value,
        default: None,
        secret: true,
        help,
    }
}

/// All of them, in the order of `.env.example`.
pub const VARIABLES: &[Variable] = &[
    secret(
        "DATABASE_URL",
        "postgres://user:password@host:5432/name",
        "The database. Direct or session pooling: transaction pooling mixes up answers",
    ),
    variable(
        "DATABASE_HOST",
        "HOST",
        None,
        "The database's host, where DATABASE_URL is not set",
    ),
    variable(
        "DATABASE_PORT",
        "PORT",
        Some("5432"),
        "The database's port, with DATABASE_HOST",
    ),
    variable(
        "DATABASE_NAME",
        "NAME",
        None,
        "The database's name, with DATABASE_HOST",
    ),
    variable(
        "DATABASE_USER",
        "USER",
        None,
        "The database's user, with DATABASE_HOST",
    ),
    secret(
        "DATABASE_PASSWORD",
        "PASSWORD",
        "The database user's password, with DATABASE_HOST",
    ),
    variable(
        "DATABASE_SSL",
        "BOOL",
        Some("false"),
        "Insist on TLS, with DATABASE_HOST",
    ),
    variable(
        "DATABASE_POOL_MAX",
        "N",
        Some("10"),
        "Most database connections for requests and jobs; a worker has up to 8 more for its queue",
    ),
    variable(
        "LISTEN_ADDR",
        "IP:PORT",
        Some("127.0.0.1:3000"),
        "Where the receiver listens",
    ),
    variable(
        "ADMIN_ADDR",
        "IP:PORT",
        Some("127.0.0.1:9464"),
        "Where metrics and health are served. Never make it public",
    ),
    variable(
        "PUBLIC_BASE_URL",
        "https://sms.example.com",
        None,
        "The URL under which Twilio reaches the receiver: signatures cover it, letter for letter",
    ),
    variable(
        "TWILIO_ACCOUNT_SID",
        "AC…",
        None,
        "Your account's SID: webhooks of others are refused",
    ),
    secret(
        "TWILIO_AUTH_TOKEN",
        "TOKEN[,TOKEN]",
        "The account's auth token, which signs webhooks; two, comma-separated, while rotating",
    ),
    secret(
        "TWILIO_AUTH_TOKENS_RETIRED",
        "TOKEN[,TOKEN]",
        "Tokens no longer accepted, so that the log can name them when they are still in use",
    ),
    variable(
        "TWILIO_PHONE_NUMBER",
        "+1…",
        None,
        "Your number at Twilio, in E.164",
    ),
    variable(
        "TWILIO_MESSAGING_SERVICE_SID",
        "MG…",
        None,
        "A messaging service at Twilio to send by, in place of TWILIO_PHONE_NUMBER",
    ),
    variable(
        "TWILIO_API_BASE_URL",
        "URL",
        Some("https://api.twilio.com"),
        "Twilio's REST API; another only for tests",
    ),
    secret(
        "ENCRYPTION_KEY",
        "64 HEX DIGITS",
        "Seals and opens personal data in the database; make one with `openssl rand -hex 32`",
    ),
    secret(
        "ENCRYPTION_KEYS_OLD",
        "64 HEX DIGITS[,…]",
        "Earlier keys, which still open what they sealed",
    ),
    secret(
        "JWT_SECRET",
        "SECRET",
        "The secret of the front end's bearer tokens (HS256), 32 bytes at least; without it and JWT_JWKS there is no phone number API",
    ),
    variable(
        "JWT_JWKS",
        "FILE|URL",
        None,
        "The keys of the front end's bearer tokens (RS256, ES256): a JWKS file, or its URL",
    ),
    variable(
        "JWT_ISSUER",
        "ISSUER",
        None,
        "The issuer that bearer tokens must name",
    ),
    variable(
        "JWT_AUDIENCE",
        "AUDIENCE",
        None,
        "The audience that bearer tokens must name",
    ),
    variable(
        "CORS_ALLOWED_ORIGINS",
        "ORIGIN[,…]",
        None,
        "The front end's origins, whose pages may use the phone number API, such as https://app.example.com",
    ),
    variable(
        "TRUSTED_PROXIES",
        "CIDR[,…]",
        None,
        "Reverse proxies whose X-Forwarded-For is believed; without them, limits count by who connects",
    ),
    variable(
        "WORKER_CONCURRENCY",
        "N",
        Some("100"),
        "Jobs of a kind that one worker runs at once: messages that run at once share their commits",
    ),
    variable(
        "WORKER_NAME",
        "NAME",
        None,
        "The worker's name for operators, HOST:PID where it is not set; nothing depends on it",
    ),
    variable(
        "JOB_LEASE_SECONDS",
        "SECONDS",
        Some("30"),
        "How long the jobs of a worker that died wait before another takes them",
    ),
    variable(
        "DEAD_LETTER_RETENTION_DAYS",
        "DAYS",
        Some("90"),
        "How long jobs that failed for good are kept to be looked at and requeued",
    ),
    variable(
        "SHUTDOWN_GRACE_SECONDS",
        "SECONDS",
        Some("20"),
        "How long running jobs may go on after SIGTERM or SIGINT",
    ),
    variable(
        "SMS_ENRICHMENT_ENABLED",
        "BOOL",
        Some("true"),
        "false: messages are accepted, and end without items",
    ),
    variable(
        "RATE_LIMIT_MESSAGES_PER_HOUR",
        "N",
        Some("20"),
        "Messages of one user that are processed in an hour, evenly spaced once the burst is used up",
    ),
    variable(
        "RATE_LIMIT_BURST",
        "N",
        Some("20"),
        "Messages that a user who was quiet may send at once; they are processed without delay",
    ),
    variable(
        "RATE_LIMIT_ACTION",
        "delay|reject",
        Some("delay"),
        "What happens to a message beyond the limit: it waits for a slot of its own, or ends without items",
    ),
    variable(
        "RATE_LIMIT_MAX_DELAY",
        "TIME",
        Some("24h"),
        "The longest wait for a slot, such as 90s, 30m, 24h or 7d: a message that would wait longer ends without items",
    ),
    variable(
        "MEDIA_STORE",
        "URL",
        Some("file:///var/lib/pigeonhole/media"),
        "Where the files of messages are kept, encrypted: file:///folder, s3://bucket/prefix, gs://… or az://…; all workers need the same",
    ),
    variable(
        "MAX_MEDIA_SIZE_MB",
        "MB",
        Some("5"),
        "Largest media file that is accepted; one MB is 1024 × 1024 bytes",
    ),
    variable(
        "MEDIA_RETENTION_DAYS",
        "DAYS",
        Some("30"),
        "How long the files of messages are kept; 0: until the message is processed",
    ),
    variable(
        "DELETE_MEDIA_AT_TWILIO",
        "BOOL",
        Some("false"),
        "Have Twilio delete a message's files once the message is processed; it keeps them until asked",
    ),
    variable(
        "MEDIA_EXTRA_HOSTS",
        "HOST:PORT[,…]",
        None,
        "Hosts that may serve media besides Twilio's, over http and inside your network, too; only for tests",
    ),
    variable(
        "AWS_ACCESS_KEY_ID",
        "ID",
        None,
        "For s3://, where the machine has no role of its own",
    ),
    secret("AWS_SECRET_ACCESS_KEY", "SECRET", "For s3://"),
    secret(
        "AWS_SESSION_TOKEN",
        "TOKEN",
        "For s3://, with credentials that last a while",
    ),
    variable(
        "AWS_REGION",
        "REGION",
        None,
        "For s3://, the bucket's region",
    ),
    variable(
        "AWS_ENDPOINT_URL",
        "URL",
        None,
        "For s3://, a service other than Amazon's that speaks its protocol",
    ),
    variable(
        "GOOGLE_APPLICATION_CREDENTIALS",
        "FILE",
        None,
        "For gs://, where the machine has no account of its own: a file with a service account's key",
    ),
    variable(
        "AZURE_STORAGE_ACCOUNT_NAME",
        "NAME",
        None,
        "For az://, the storage account",
    ),
    secret(
        "AZURE_STORAGE_ACCOUNT_KEY",
        "KEY",
        "For az://, where the machine has no identity of its own",
    ),
    variable(
        "EXTRACTOR",
        "rules|gemini|openai",
        Some("rules"),
        "Who finds what a message says: rules, or a model, which then gets to see texts and files",
    ),
    variable(
        "EXTRACTOR_FALLBACK",
        "none|rules",
        Some("rules"),
        "When a model stays away or gives no answer of use: what the rules find, or a message that fails",
    ),
    variable(
        "EXTRACTOR_TIMEOUT_SECONDS",
        "SECONDS",
        Some("30"),
        "How long a model may take for a message",
    ),
    variable(
        "EXTRACTOR_MAX_INLINE_MB",
        "MB",
        Some("14"),
        "Most that a model gets to see of a message's files; what is beyond it is named by the rules",
    ),
    secret(
        "GOOGLE_GEMINI_API_KEY",
        "KEY",
        "Gemini's API key, with EXTRACTOR=gemini",
    ),
    variable(
        "GEMINI_MODEL",
        "MODEL",
        Some("gemini-flash-latest"),
        "Which of Gemini's models",
    ),
    variable(
        "GEMINI_BASE_URL",
        "URL",
        Some("https://generativelanguage.googleapis.com"),
        "Gemini's API; another only for tests",
    ),
    secret(
        "OPENAI_API_KEY",
        "KEY",
        "The key for OPENAI_BASE_URL; an endpoint of your own may need none",
    ),
    variable(
        "OPENAI_MODEL",
        "MODEL",
        None,
        "The model at OPENAI_BASE_URL, with EXTRACTOR=openai",
    ),
    variable(
        "OPENAI_BASE_URL",
        "URL",
        Some("https://api.openai.com/v1"),
        "Where a model answers by OpenAI's protocol, version included",
    ),
    variable(
        "MESSAGE_RETENTION_DAYS",
        "DAYS",
        Some("7"),
        "How long what a message says is kept, sealed, once it has ended; so long it can be run again. Its row and items stay",
    ),
    variable(
        "REPLIES",
        "all|problems|none",
        Some("all"),
        "Which messages are replied to. Each reply is an SMS that costs; limits bound them in any case",
    ),
    variable(
        "REPLY_PROCESSED",
        "TEXT",
        Some(default_words(ReplyKind::Processed)),
        "The reply to a message that was processed",
    ),
    variable(
        "REPLY_NOT_LINKED",
        "TEXT",
        Some(default_words(ReplyKind::NotLinked)),
        "The reply to a number that nobody has linked",
    ),
    variable(
        "REPLY_RATE_LIMITED",
        "TEXT",
        Some(default_words(ReplyKind::RateLimited)),
        "The reply to a message beyond the rate limit; {wait} is filled in",
    ),
    variable(
        "REPLY_FAILED",
        "TEXT",
        Some(default_words(ReplyKind::Failed)),
        "The reply to a message that could not be processed",
    ),
    variable(
        "REPLY_MEDIA_TOO_LARGE",
        "TEXT",
        Some(default_words(ReplyKind::MediaTooLarge)),
        "The reply to an attachment that is too large; {limit} is filled in",
    ),
    variable(
        "REPLY_MEDIA_UNSUPPORTED",
        "TEXT",
        Some(default_words(ReplyKind::MediaUnsupported)),
        "The reply to an attachment of a type that is not taken",
    ),
    variable(
        "VERIFICATION_CODE_EXPIRY_MINUTES",
        "MINUTES",
        Some("10"),
        "How long a verification code is good for",
    ),
    variable(
        "VERIFICATION_MESSAGE",
        "TEXT",
        Some("Your verification code is {code}. It expires in {minutes} minutes."),
        "The verification SMS; {code} and {minutes} are filled in",
    ),
    variable(
        "VERIFICATION_COUNTRIES",
        "CC[,CC]",
        Some("US,CA"),
        "Countries whose numbers may be linked: each SMS costs, and attackers pick dear ones",
    ),
    variable(
        "VERIFICATION_IP_HOURLY_LIMIT",
        "N",
        Some("10"),
        "Verification SMS an hour that one IP address (one /64 of IPv6) may ask for",
    ),
    variable(
        "VERIFICATION_PREFIX_HOURLY_LIMIT",
        "N",
        Some("20"),
        "Verification SMS an hour to numbers with the same first eight digits",
    ),
    variable(
        "VERIFICATION_COUNTRY_HOURLY_LIMIT",
        "N",
        Some("200"),
        "Verification SMS an hour to one country",
    ),
    variable(
        "VERIFICATION_DAILY_BUDGET",
        "N",
        Some("1000"),
        "Verification SMS in 24 hours, in all",
    ),
    variable(
        "LOG_FORMAT",
        "pretty|json",
        Some("pretty"),
        "How log lines look",
    ),
    variable(
        "RUST_LOG",
        "FILTER",
        Some("info"),
        "Which log lines: a level, or `target=level,…`",
    ),
];

/// The text of `.env.example`.
#[cfg(test)]
pub(crate) fn example() -> String {
    let head = "# Every setting of Pigeonhole, with its default where it has one. Copy to `.env` and fill in what you \
                need;\n# what is set in the environment wins over `.env`, and a flag wins over both.\n";
    let entries = VARIABLES.iter().map(
        |Variable {
             name,
             help,
             default,
             value,
             ..
         }| match default {
            Some(default) => format!("\n# {help}.\n# {name}={default}\n"),
            None => format!("\n# {help}.\n# {name}=  # {value}\n"),
        },
    );
    std::iter::once(head.to_owned()).chain(entries).collect()
}
