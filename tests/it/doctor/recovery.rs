//! Whether lost messages can be recovered.

use super::DoctorHarness;

async fn recovering() -> DoctorHarness {
    DoctorHarness::start().await.with("RECOVERY", "on")
}

#[tokio::test]
async fn an_installation_that_can_recover_messages_passes() {
    let harness = recovering().await;
    harness.assert_well().await;
    let diagnosis = harness.doctor(&[]).await;
    let says: Vec<&str> = diagnosis
        .findings
        .iter()
        .filter(|finding| finding["check"].as_str().unwrap().starts_with("recovery"))
        .map(|finding| finding["says"].as_str().unwrap())
        .collect();
    assert!(
        says.iter().any(|says| says.contains("1 of our numbers"))
            && says
                .iter()
                .any(|says| says.contains("no worker has looked")),
        "{says:?}"
    );
}

#[tokio::test]
async fn numbers_that_cannot_be_recovered_from_are_named() {
    let harness = recovering()
        .await
        .with("PUBLIC_BASE_URL", "https://other.example.com");
    let diagnosis = harness.doctor(&["--process", "worker"]).await;
    diagnosis.assert_names("recovery", "no number", "RECOVERY_NUMBERS");
}

#[tokio::test]
async fn a_look_that_is_too_long_ago_is_a_warning() {
    let harness = recovering().await;
    harness
        .sql(
            "insert into pigeonhole.recovery_watermarks (number_index, since, looked_until)
             values ('x', now() - interval '1 day', now() - interval '3 minutes')",
        )
        .await;
    harness.assert_well().await;
    harness
        .sql("update pigeonhole.recovery_watermarks set looked_until = now() - interval '1 hour'")
        .await;
    harness
        .assert_only(
            "recovery_look",
            "warning",
            "1h 0m ago",
            "pigeonhole recover",
        )
        .await;
}
