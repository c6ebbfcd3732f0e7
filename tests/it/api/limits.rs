//! The limits on the number of SMS.

use std::time::Duration;

use futures_util::future::join_all;
use pigeonhole::services::{Role, Services, ServicesConfig};
use reqwest::Method;
use tokio_util::sync::CancellationToken;

use super::{ApiAnswer, ApiHarness, FREE, OTHER, PATH, number, request};

/// The n-th number of a practically endless list, few of which share a prefix.
fn nth(n: usize) -> String {
    let area = ["202", "212", "312", "415", "617"][n % 5];
    format!("+1{area}{}{:04}", 300 + n / 5 % 600, 1000 + n)
}

#[tokio::test]
async fn the_wait_between_two_sms_to_a_number_grows_each_time() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    let mut told = Vec::new();
    for _ in 0..2 {
        assert_eq!(caller.link(FREE).await.status, 201);
        let refused = caller.link(FREE).await;
        let wait = refused.retry_after();
        assert!(
            refused.body["error"]
                .as_str()
                .unwrap()
                .contains("a moment ago")
        );
        told.push(wait);
        api.advance(Duration::from_secs(wait + 1)).await;
    }
    assert!(
        (29..=30).contains(&told[0]) && (39..=40).contains(&told[1]),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_number_gets_three_sms_in_ten_minutes_across_all_users() {
    let api = ApiHarness::start().await;
    for _ in 0..3 {
        assert_eq!(api.user().await.link(FREE).await.status, 201);
    }
    let wait = api.user().await.link(FREE).await.retry_after();
    assert!((590..=600).contains(&wait), "{wait}");
    assert_eq!(api.user().await.link(OTHER).await.status, 201);
    api.advance(Duration::from_secs(wait)).await;
    assert_eq!(api.user().await.link(FREE).await.status, 201);
}

#[tokio::test]
async fn a_number_gets_five_sms_an_hour_and_ten_a_day() {
    let api = ApiHarness::start().await;
    let ask = async |expected: u16| {
        let answer = api.user().await.link(FREE).await;
        assert_eq!(answer.status, expected, "{answer:?}");
        api.advance(Duration::from_secs(601)).await;
        answer
    };
    for _ in 0..5 {
        ask(201).await;
    }
    let wait = ask(429).await.retry_after();
    assert!((580..=600).contains(&wait), "{wait}"); // the first is 50 minutes old
    for _ in 0..5 {
        ask(201).await;
        api.advance(Duration::from_mins(10)).await;
    }
    let wait = ask(429).await.retry_after();
    assert!(wait > 20 * 3600, "{wait}");
}

#[tokio::test]
async fn a_user_may_ask_five_times_an_hour_and_ten_times_a_day_across_all_numbers() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    for n in 0..5 {
        assert_eq!(caller.link(&nth(n)).await.status, 201);
    }
    let wait = caller.link(&nth(5)).await.retry_after();
    assert!((3590..=3600).contains(&wait), "{wait}");
    api.advance(Duration::from_secs(wait)).await;
    for n in 5..10 {
        assert_eq!(caller.link(&nth(n)).await.status, 201);
    }
    api.advance(Duration::from_hours(1)).await;
    let wait = caller.link(&nth(10)).await.retry_after();
    assert!((21 * 3600..=22 * 3600).contains(&wait), "{wait}");
    // Unlinking restores none of the budget.
    assert_eq!(caller.unlink().await.status, 204);
    caller.link(&nth(10)).await.retry_after();
}

/// Links numbers of this list, each as another user, until one is refused. Returns the number of
/// successful requests.
async fn flood(api: &ApiHarness, numbers: impl Iterator<Item = String>, from: &str) -> usize {
    for (count, text) in numbers.enumerate() {
        let caller = api.user().await;
        let request = caller.request(Method::POST, PATH).json(&number(&text));
        let request = request.header("x-forwarded-for", from);
        let answer = ApiAnswer::of(request.send().await.unwrap()).await;
        if answer.status != 201 {
            answer.retry_after();
            let error = answer.body["error"].as_str().unwrap();
            assert_eq!(error, "Too many requests. Try again later");
            assert_eq!(api.sends().await, i64::try_from(count).unwrap());
            return count;
        }
    }
    panic!("nobody was refused");
}

#[tokio::test]
async fn an_address_may_ask_ten_times_an_hour_and_cannot_forge_other_addresses() {
    let api = ApiHarness::with(&[("VERIFICATION_IP_HOURLY_LIMIT", "10")]).await;
    assert_eq!(flood(&api, (0..).map(nth), "198.51.100.1").await, 10);
    let caller = api.user().await;
    for forged in ["198.51.100.2", "127.0.0.1, 198.51.100.3"] {
        let request = caller.request(Method::POST, PATH).json(&number(FREE));
        let request = request.header("x-forwarded-for", forged);
        ApiAnswer::of(request.send().await.unwrap())
            .await
            .retry_after();
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_limit() {
    let settings = [
        ("VERIFICATION_IP_HOURLY_LIMIT", "3"),
        ("TRUSTED_PROXIES", "127.0.0.0/8"),
    ];
    let api = ApiHarness::with(&settings).await;
    assert_eq!(
        flood(&api, (0..).map(nth), "1.1.1.1, 198.51.100.1").await,
        3
    );
    let second = ApiHarness::request(&api, Method::POST, PATH)
        .bearer_auth(api.user().await.token)
        .header("x-forwarded-for", "198.51.100.2")
        .json(&number(FREE));
    assert_eq!(second.send().await.unwrap().status(), 201);
}

#[tokio::test]
async fn numbers_of_one_prefix_share_a_limit() {
    let api = ApiHarness::with(&[("VERIFICATION_PREFIX_HOURLY_LIMIT", "4")]).await;
    // +1 202 555 0…: these numbers share the first eight digits.
    let numbers = (100..).map(|n| format!("+12025550{n}"));
    assert_eq!(flood(&api, numbers, "").await, 4);
    assert_eq!(api.user().await.link(OTHER).await.status, 201);
}

#[tokio::test]
async fn each_country_has_a_limit() {
    let api = ApiHarness::with(&[("VERIFICATION_COUNTRY_HOURLY_LIMIT", "6")]).await;
    assert_eq!(flood(&api, (0..).map(nth), "").await, 6);
    assert_eq!(api.user().await.link("+14165550123").await.status, 201); // Canada's own
}

#[tokio::test]
async fn the_daily_budget_bounds_sms_and_a_budget_of_zero_stops_all_sms() {
    let api = ApiHarness::with(&[("VERIFICATION_DAILY_BUDGET", "7")]).await;
    assert_eq!(flood(&api, (0..).map(nth), "").await, 7);
    api.user().await.link("+14165550123").await.retry_after();
    let none = ApiHarness::with(&[("VERIFICATION_DAILY_BUDGET", "0")]).await;
    assert_eq!(flood(&none, (0..).map(nth), "").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_receivers_on_one_database_admit_no_more_than_one_receiver() {
    let api = ApiHarness::with(&[("VERIFICATION_DAILY_BUDGET", "12")]).await;
    let env = api.app.settings.env();
    let read = |r: &mut pigeonhole::config::Reader<'_>| ServicesConfig::read(r, Role::Receiver);
    let config = pigeonhole::config::Reader::read(&env, read).unwrap();
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new()
        .build_recorder()
        .handle();
    let stop = CancellationToken::new();
    let second = Services::start(config, metrics, stop.clone())
        .await
        .unwrap();
    let receivers = [api.app.receiver, second.receiver_addr.unwrap()];
    let mut callers = Vec::new();
    for _ in 0..60 {
        callers.push(api.user().await);
    }
    let asks = callers.iter().enumerate().map(|(n, caller)| {
        let request = request(&api.client, receivers[n % 2], Method::POST, PATH);
        let request = request.bearer_auth(&caller.token).json(&number(&nth(n)));
        async { request.send().await.unwrap().status().as_u16() }
    });
    let statuses = join_all(asks).await;
    let admitted = statuses.iter().filter(|status| **status == 201).count();
    assert_eq!(admitted, 12, "{statuses:?}");
    assert_eq!(api.sends().await, 12);
    stop.cancel();
    second.finished().await.unwrap();
}
