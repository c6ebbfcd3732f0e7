//! The demo page of `dev` in a real browser: from signing in to seeing an item.

use serde_json::json;

use crate::{
    browser::Browser,
    dev::{DataDir, DevProcess, run_once},
    wait::{PATIENCE, eventually},
};

/// Responses that the page expects, but the browser logs as errors: the user has no number yet, and
/// a wrong code.
const EXPECTED: [(&str, &str); 2] = [
    ("/api/user/phone-number ", "404"),
    ("/api/user/phone-number/verify ", "400"),
];

async fn assert_content(browser: &Browser) {
    let complaints = browser.complaints().await.into_iter();
    let unexpected: Vec<_> = complaints
        .filter(|complaint| {
            !EXPECTED
                .iter()
                .any(|(path, status)| complaint.contains(path) && complaint.contains(status))
        })
        .collect();
    assert_eq!(unexpected, Vec::<String>::new());
}

/// The code in an SMS.
fn code_in(sms: &str) -> String {
    let mut words = sms.split(|c: char| !c.is_ascii_digit());
    words.find(|word| word.len() == 6).expect(sms).to_owned()
}

/// A code other than this one.
fn not(code: &str) -> &'static str {
    if code == "123456" { "654321" } else { "123456" }
}

/// Requests a code for this number, and returns the code that the phone on the page shows.
async fn claim(browser: &Browser, number: &str) -> String {
    browser.fill("#phone-number", number).await;
    browser.click("#link button").await;
    let sms = "#messages .theirs:last-child";
    code_in(&browser.wait_for_text(sms, "verification code").await)
}

#[tokio::test]
async fn a_user_links_a_number_on_the_demo_page_and_their_text_becomes_items() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let dir = DataDir::new();
    let dev = DevProcess::start(&dir).await;
    browser.go(&dev.demo_url().await).await;

    browser.click("[data-user=new]").await;
    let code = claim(&browser, "(202) 555-0143").await;
    browser
        .wait_for_text("#delivery", "delivered to +1 202 555 0143")
        .await;
    let shown = dev.wait_for_output("SMS to +12025550143: ").await;
    assert!(shown.contains(&code), "the terminal shows the SMS too");

    browser.fill("#code", not(&code)).await;
    browser.click("#verify button").await;
    browser
        .wait_for_text("#number-error", "VERIFICATION_FAILED")
        .await;
    browser.screenshot("wrong-code.png").await;

    browser.fill("#code", &code).await;
    browser.click("#verify button").await;
    browser
        .wait_for_text("#linked", "+1 202 555 0143 verified")
        .await;
    assert_eq!(browser.text("#number-error").await, "");

    browser.fill("#body", "Met Ana at #RustConf").await;
    browser.click("#text button").await;
    browser
        .wait_for_text("#messages .mine", "Met Ana at #RustConf")
        .await;
    browser.wait_for_text("#item-list", "tag RustConf").await;
    browser
        .wait_for_text("#item-list", "note Met Ana at #RustConf")
        .await;

    browser.screenshot("demo.png").await;

    // Another user sees none of it. The first user sees everything after signing in again.
    browser.click("#sign-out").await;
    browser.click("[data-user=bo]").await;
    browser.wait_for_text("#name", "Bo").await;
    browser.wait_for_text("#no-items", "Nothing yet").await;
    browser.click("#sign-out").await;
    browser.click("[data-user=ana]").await;
    browser.wait_for_text("#linked", "+1 202 555 0123").await;
    browser
        .wait_for_text("#item-list", "Brandenburg Gate")
        .await;
    assert_content(&browser).await;
}

#[tokio::test]
async fn an_unlinked_number_creates_no_more_items_and_another_user_can_link_it() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let dir = DataDir::new();
    let dev = DevProcess::start(&dir).await;
    browser.go(&dev.demo_url().await).await;

    browser.click("[data-user=ana]").await;
    browser.click("#unlink").await;
    browser.fill("#body", "Nobody's #secret").await;
    browser.click("#text button").await;
    // One of the samples was ignored too.
    let ignored = async || (dev.count_lines("ignored_unlinked") == 2).then_some(());
    eventually("the message is ignored", PATIENCE, ignored).await;
    assert!(!browser.text("#item-list").await.contains("secret"));

    browser.click("#sign-out").await;
    browser.click("[data-user=bo]").await;
    let code = claim(&browser, "202 555 0123").await;
    browser.fill("#code", &code).await;
    browser.click("#verify button").await;
    browser
        .wait_for_text("#linked", "+1 202 555 0123 verified")
        .await;
    // A reload keeps everything.
    browser.go(&dev.demo_url().await).await;
    browser
        .wait_for_text("#linked", "+1 202 555 0123 verified")
        .await;
    assert_content(&browser).await;

    // After a restart the number belongs to Ana again, and its samples are processed.
    dev.kill().await;
    dir.wait_until_left_alone().await;
    run_once(&dir).await;
}

#[tokio::test]
async fn the_demo_page_shows_errors_and_fits_a_small_window() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let dir = DataDir::new();
    let dev = DevProcess::start(&dir).await;
    browser.resize(360, 740).await;
    browser.go(&dev.demo_url().await).await;
    browser.click("[data-user=new]").await;
    browser.fill("#phone-number", "12345").await;
    browser.click("#link button").await;
    browser
        .wait_for_text("#number-error", "INVALID_PHONE_NUMBER")
        .await;
    browser.screenshot("small.png").await;

    let fits = "return document.documentElement.scrollWidth <= window.innerWidth";
    assert_eq!(browser.run(fits).await, json!(true));
    let unlabelled =
        "return [...document.querySelectorAll('input')].filter((i) => !i.labels.length).length";
    assert_eq!(browser.run(unlabelled).await, json!(0));
}
