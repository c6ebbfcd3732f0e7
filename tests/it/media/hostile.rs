//! URLs that must not be requested. Where possible, each points at a trap: a port on every address
//! of this machine that counts its connections.

use std::{
    net::Ipv6Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use store::media::{MediaState, Refusal};
use tokio::net::TcpListener;

use super::{file_server::FileAnswer, harness::MediaHarness};
use crate::settings::hex;

struct ConnectionTrap {
    port: u16,
    caught: Arc<AtomicUsize>,
}

impl ConnectionTrap {
    async fn start() -> Self {
        let listener = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind("0.0.0.0:0").await.unwrap(),
        };
        let (port, caught) = (
            listener.local_addr().unwrap().port(),
            Arc::<AtomicUsize>::default(),
        );
        let counter = Arc::clone(&caught);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, caught }
    }
}

/// Internal hosts in many spellings. `P` is the trap's port.
const HOSTS: [&str; 50] = [
    "127.0.0.1:P",
    "127.1:P",
    "127.0.1:P",
    "2130706433:P",
    "0x7f000001:P",
    "0x7f.1:P",
    "0177.0.0.1:P",
    "017700000001:P",
    "0:P",
    "0.0.0.0:P",
    "127.0.0.1.:P",
    "127.255.255.254:P",
    "[::1]:P",
    "[::]:P",
    "[::ffff:127.0.0.1]:P",
    "[::ffff:7f00:1]:P",
    "[0:0:0:0:0:ffff:127.0.0.1]:P",
    "[::127.0.0.1]:P",
    "[64:ff9b::7f00:1]:P",
    "localhost:P",
    "LOCALHOST:P",
    "localhost.:P",
    "localhost.localdomain:P",
    "ip6-localhost:P",
    "127。0。0。1:P",
    "①②⑦.⓪.⓪.①:P",
    "１２７.０.０.１:P",
    "169.254.169.254",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "metadata.google.internal",
    "metadata",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.100.100.200",
    "0xa9fea9fe",
    "2852039166",
    "twilio.com.evil.example",
    "twilio.com.:443",
    "eviltwilio.com",
    "twiliocdn.com.evil.example",
    "xtwiliocdn.com",
    "amazonaws.com",
    "evilamazonaws.com",
    "amazonaws.com.evil.example",
    "s3.amazonaws.com:P",
    "mms.twiliocdn.com:P",
    "tw\u{131}lio.com",
    "api.twilio.com:80",
];

/// Paths that follow the API's address. `A` and `M` stand for our account and the message.
const PATHS: [&str; 40] = [
    "",
    "/",
    "/A/M",
    "/2010-04-01/Accounts/A/Messages/M/Media",
    "/2010-04-01/Accounts/A/Messages/M/Media/",
    "/2010-04-01/Accounts/A/Messages/M/Media/ME1",
    "/2010-04-01/Accounts/A/Messages/M/Media/F.json",
    "/2010-04-01/Accounts/A/Messages/M/Media/F/",
    "/2010-04-01/Accounts/A/Messages/M/Media/F?x=1",
    "/2010-04-01/Accounts/A/Messages/M/Media/F#x",
    "/2010-04-01/Accounts/A/Messages/M/Media/F ",
    "/2010-04-01/Accounts/A/Messages/M/Media/F\t",
    "/2010-04-01/Accounts/A/Messages/M/Media/F\r\nHost: x",
    "/2010-04-01/Accounts/A/Messages/M/Media/F%00",
    "/2010-04-01/Accounts/A/Messages/M/Media/F%2f..",
    "/2010-04-01/Accounts/A/Messages/M/Media/../F",
    "/2010-04-01/Accounts/A/Messages/M/Media//F",
    "//2010-04-01/Accounts/A/Messages/M/Media/F",
    "/2010-04-01/Accounts/A/Messages/M/media/F",
    "/2010-04-01/accounts/A/Messages/M/Media/F",
    "/2010-04-01/Accounts/A/Messages/O/Media/F",
    "/2010-04-01/Accounts/B/Messages/M/Media/F",
    "/2010-04-01/Accounts/B/Messages/O/Media/F",
    "/2010-04-01/Accounts/A/../B/Messages/M/Media/F",
    "/2010-04-01/Accounts/A/Messages/M/Media/../../O/Media/F",
    "/2010-04-01/Accounts/A%2f..%2fB/Messages/M/Media/F",
    "/2010-04-01/Accounts/A/Messages/M/Media/%4dE1",
    "/2010-04-01/Accounts/A/Messages/M",
    "/2010-04-01/Accounts/A/Messages.json",
    "/2010-04-01/Accounts/A.json",
    "/2010-04-01/Accounts/A/Keys.json",
    "/2010-04-01/Accounts/A/Recordings/F",
    "/2009-01-01/Accounts/A/Messages/M/Media/F",
    "\\2010-04-01\\Accounts\\A\\Messages\\M\\Media\\F",
    ".evil.example/2010-04-01/Accounts/A/Messages/M/Media/F",
    ":1@127.0.0.1:P/2010-04-01/Accounts/A/Messages/M/Media/F",
    "@127.0.0.1:P/2010-04-01/Accounts/A/Messages/M/Media/F",
    "/\\127.0.0.1:P/2010-04-01/Accounts/A/Messages/M/Media/F",
    "0/2010-04-01/Accounts/A/Messages/M/Media/F",
    "/2010-04-01/Accounts/A/Messages/M/Media/MEzz23456789abcdef0123456789abcdef",
];

/// URLs without an HTTP address, or with a hidden one.
const OTHERS: [&str; 20] = [
    "",
    " ",
    "x",
    "//127.0.0.1:P/x",
    "/x",
    "http:127.0.0.1:P",
    "http:/127.0.0.1:P/x",
    "http:///127.0.0.1:P/x",
    "http://",
    "https://",
    "file:///etc/passwd",
    "ftp://127.0.0.1:P/x",
    "gopher://127.0.0.1:P/_x",
    "data:image/png,x",
    "dict://127.0.0.1:P/x",
    "ldap://127.0.0.1:P",
    "jar:http://127.0.0.1:P!/x",
    "unix:/run/x",
    "javascript:alert(1)",
    "http://a@b@127.0.0.1:P/x",
];

#[tokio::test]
async fn no_hostile_url_of_a_message_is_fetched() {
    let harness = MediaHarness::start().await;
    let trap = ConnectionTrap::start().await;
    let (sid, other) = (format!("MM{}", hex()), format!("MM{}", hex()));
    let file = format!("ME{}", hex());
    let path = harness.path(&sid, &file);
    let account = path.split('/').nth(3).unwrap().to_owned();
    let complete = |text: &str| {
        let words = text.split_inclusive(['/', '\\', ':', '@']).map(|word| {
            let (name, end) = word.split_at(word.trim_end_matches(['/', '\\', ':', '@']).len());
            let name = match name {
                "A" => account.clone(),
                "B" => format!("AC{}", hex()),
                "M" => sid.clone(),
                "O" => other.clone(),
                "P" => trap.port.to_string(),
                name => match name.strip_prefix('F') {
                    Some(rest) => format!("{file}{rest}"),
                    None => name.to_owned(),
                },
            };
            name + end
        });
        words.collect::<String>()
    };
    let hosts = HOSTS.iter().flat_map(|host| {
        let host = complete(host);
        [
            format!("http://{host}{path}"),
            format!("https://{host}{path}"),
        ]
    });
    let api = harness.api.url("");
    let paths = PATHS.iter().map(|path| format!("{api}{}", complete(path)));
    let cased = [
        harness.api.url(&path).replacen("http", "HTTP", 1),
        format!(" {}", harness.api.url(&path)),
    ];
    let userinfo = [
        format!("http://x@{}{path}", harness.api.addr),
        format!("http://x:y@{}{path}", harness.api.addr),
    ];
    let urls: Vec<String> = hosts
        .chain(paths)
        .chain(OTHERS.iter().map(|url| complete(url)))
        .chain(cased)
        .chain(userinfo)
        .collect();
    assert!(urls.len() >= 150, "{}", urls.len());

    for url in &urls {
        let judged = harness
            .deps
            .downloader
            .media_sid(&sid.parse().unwrap(), url);
        assert!(judged.is_err(), "{url}");
    }
    for group in urls.chunks(10) {
        let sid = format!("MM{}", hex());
        // An empty URL announces no file.
        let announced: Vec<_> = group
            .iter()
            .filter(|url| !url.is_empty())
            .map(|url| ("image/jpeg", url.clone()))
            .collect();
        let message = harness.announce(&sid, &announced).await;
        let media = harness.ended(&message).await;
        assert_eq!(media.len(), announced.len());
        for media in media {
            assert_eq!(media.state, MediaState::Refused(Refusal::Forbidden));
            assert_eq!(media.media_sid, None);
        }
    }
    assert_eq!(trap.caught.load(Ordering::SeqCst), 0);
    assert_eq!(harness.api.requests().len(), 0);
    // The URLs were the reason for the refusals, not this message.
    harness
        .api
        .answers(&path, [FileAnswer::File(super::harness::jpeg(9))]);
    let good = harness
        .announce(&sid, &[("image/jpeg", harness.api.url(&path))])
        .await;
    assert_eq!(harness.state(&good).await, MediaState::Stored);
}

#[tokio::test]
async fn no_hostile_redirect_is_followed() {
    let harness = MediaHarness::start().await;
    let trap = ConnectionTrap::start().await;
    let port = trap.port.to_string();
    let hosts = HOSTS.iter().flat_map(|host| {
        let host = host.replace('P', &port);
        [
            format!("http://{host}/x"),
            format!("https://{host}/x"),
            format!("//{host}/x"),
        ]
    });
    let usernames = [
        "https://mms.twiliocdn.com@127.0.0.1:P/x",
        "https://u:p@mms.twiliocdn.com/x",
        "https://mms.twiliocdn.com:P@127.0.0.1:P/x",
        "https://127.0.0.1:P\\@mms.twiliocdn.com/x",
        "https://127.0.0.1:P#@mms.twiliocdn.com/",
        "https://127.0.0.1:P?@mms.twiliocdn.com/",
        "http://mms.twiliocdn.com/x",
        "ftp://mms.twiliocdn.com/x",
        "https:///127.0.0.1:P/x",
        "/x",
        "x",
        "?x",
        "",
    ];
    let others = OTHERS
        .iter()
        .chain(&usernames)
        .map(|url| url.replace('P', &port));
    let urls: Vec<String> = hosts.chain(others).collect();
    assert!(urls.len() >= 150, "{}", urls.len());
    for group in urls.chunks(10) {
        // A URL that no header can contain cannot be sent.
        let sendable = group.iter().filter(|url| url.is_ascii());
        let files = sendable.map(|url| ("image/jpeg", vec![FileAnswer::Redirect(url.clone())]));
        let message = harness.message(files.collect()).await;
        for (media, url) in harness.ended(&message).await.iter().zip(group) {
            assert_eq!(
                media.state,
                MediaState::Refused(Refusal::Forbidden),
                "{url}"
            );
        }
    }
    assert_eq!(trap.caught.load(Ordering::SeqCst), 0);
    assert_eq!(harness.cdn.requests().len(), 0);
}

#[tokio::test]
async fn three_redirects_are_followed_and_a_fourth_is_not() {
    let harness = MediaHarness::start().await;
    for (redirects, state) in [
        (3, MediaState::Stored),
        (4, MediaState::Refused(Refusal::Forbidden)),
    ] {
        let start = hex();
        for at in 1..=redirects {
            let answer = if at == redirects {
                FileAnswer::File(super::harness::jpeg(9))
            } else {
                FileAnswer::Redirect(harness.cdn.url(&format!("/{start}/{}", at + 1)))
            };
            harness.cdn.answers(&format!("/{start}/{at}"), [answer]);
        }
        let first = FileAnswer::Redirect(harness.cdn.url(&format!("/{start}/1")));
        let message = harness.message(vec![("image/jpeg", vec![first])]).await;
        assert_eq!(harness.state(&message).await, state, "{redirects}");
    }
    let endless = "/endless";
    harness
        .cdn
        .answers(endless, [FileAnswer::Redirect(harness.cdn.url(endless))]);
    let message = harness
        .message(vec![(
            "",
            vec![FileAnswer::Redirect(harness.cdn.url(endless))],
        )])
        .await;
    assert_eq!(
        harness.state(&message).await,
        MediaState::Refused(Refusal::Forbidden)
    );
    let relative = harness.cdn.requests().len();
    let message = harness
        .message(vec![("", vec![FileAnswer::Redirect("/elsewhere".into())])])
        .await;
    assert_eq!(
        harness.state(&message).await,
        MediaState::Refused(Refusal::Forbidden)
    );
    assert_eq!(harness.cdn.requests().len(), relative);
}
