//! schemathesis generates requests from the `OpenAPI` document and checks every response against
//! it.
//!
//! `SCHEMATHESIS` names the program, else it is searched on the path. Without it the test prints a
//! notice and checks nothing, unless `PIGEONHOLE_REQUIRE_SCHEMATHESIS` is set.
//! `SCHEMATHESIS_EXAMPLES` sets the number of requests for each operation.

use std::process::{Command, Stdio};

use super::ApiHarness;
use crate::settings::test_run_variable;

/// All checks except one that cannot hold for an API with limits and codes: that every well-formed
/// request is accepted.
const EXCLUDED: &str = "positive_data_acceptance";

fn program() -> Option<String> {
    let program = test_run_variable("SCHEMATHESIS").unwrap_or_else(|| "schemathesis".to_owned());
    let runs = Command::new(&program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let required = test_run_variable("PIGEONHOLE_REQUIRE_SCHEMATHESIS").is_some();
    assert!(runs || !required, "{program} does not run");
    runs.then_some(program)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_response_to_a_generated_request_matches_the_openapi_document() {
    let Some(program) = program() else {
        println!("SKIPPED: no schemathesis; SCHEMATHESIS names the program");
        return;
    };
    let examples = test_run_variable("SCHEMATHESIS_EXAMPLES").unwrap_or_else(|| "50".to_owned());
    let api = ApiHarness::with(&[("VERIFICATION_COUNTRIES", "US,CA,GB,DE,IN")]).await;
    // One user has a number, the other has none.
    for token in [api.linked().token, api.user().await.token] {
        run(&api, &program, &examples, token).await;
    }
    assert!(api.sends().await > 0);
}

async fn run(api: &ApiHarness, program: &str, examples: &str, token: String) {
    let base = format!("http://{}", api.app.receiver);
    let (program, examples) = (program.to_owned(), examples.to_owned());
    let report = tempfile::tempdir().unwrap();
    let ran = tokio::task::spawn_blocking({
        let folder = report.path().to_owned();
        move || {
            Command::new(program)
                .current_dir(folder)
                .arg("run")
                .arg(format!("{base}/api/openapi.json"))
                .args(["--header", &format!("Authorization: Bearer {token}")])
                .args(["--checks", "all", "--exclude-checks", EXCLUDED])
                .args(["--max-examples", &examples, "--continue-on-failure"])
                .args(["--phases", "examples,coverage,fuzzing,stateful"])
                .output()
                .unwrap()
        }
    })
    .await
    .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}");
}
