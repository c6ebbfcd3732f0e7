//! CORS, the routes and methods of the API, and its `OpenAPI` document.

use reqwest::{Method, header};
use serde_json::Value;

use super::{ApiAnswer, ApiHarness, FREE, PATH, VERIFY, number};
use crate::settings::ProgramSettings;

const ORIGIN: &str = "https://app.example.com";

#[tokio::test]
async fn pages_from_configured_origins_may_call_the_api_and_others_may_not() {
    let api = ApiHarness::with(&[(
        "CORS_ALLOWED_ORIGINS",
        "https://app.example.com,http://localhost:5173",
    )])
    .await;
    let preflight = async |origin: &str, path: &str| {
        let request = api
            .request(Method::OPTIONS, path)
            .header(header::ORIGIN, origin)
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(
                header::ACCESS_CONTROL_REQUEST_HEADERS,
                "authorization,idempotency-key",
            );
        ApiAnswer::of(request.send().await.unwrap()).await
    };
    for origin in [ORIGIN, "http://localhost:5173"] {
        for path in [PATH, VERIFY] {
            let answer = preflight(origin, path).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("access-control-allow-origin"), origin);
            assert!(
                answer
                    .header("access-control-allow-methods")
                    .contains("DELETE")
            );
            let headers = answer.header("access-control-allow-headers");
            assert!(headers.contains("authorization") && headers.contains("idempotency-key"));
            assert_eq!(answer.header("access-control-allow-credentials"), "");
        }
    }
    for origin in [
        "https://evil.example.com",
        "null",
        "https://app.example.com.evil.com",
    ] {
        let answer = preflight(origin, PATH).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
    }
    // Refusals must be readable too, because the page shows them.
    let request = api
        .request(Method::GET, PATH)
        .header(header::ORIGIN, ORIGIN);
    let answer = ApiAnswer::of(request.send().await.unwrap()).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
    assert_eq!(
        answer.header("access-control-expose-headers"),
        "retry-after"
    );
}

#[tokio::test]
async fn without_configured_origins_no_other_origin_may_call_the_api() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    let request = caller
        .request(Method::POST, PATH)
        .header(header::ORIGIN, ORIGIN);
    let answer = ApiAnswer::of(request.json(&number(FREE)).send().await.unwrap()).await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn an_unsupported_method_returns_a_problem_that_lists_the_supported_methods() {
    let api = ApiHarness::start().await;
    for (path, allowed) in [
        (PATH, ["GET", "POST", "DELETE"].as_slice()),
        (VERIFY, &["POST"]),
    ] {
        for method in [Method::PUT, Method::PATCH, Method::OPTIONS, Method::TRACE] {
            let answer = ApiAnswer::of(api.request(method, path).send().await.unwrap()).await;
            assert_eq!(answer.status, 405);
            assert_eq!(answer.header("content-type"), "application/problem+json");
            for method in allowed {
                assert!(answer.header("allow").contains(method), "{answer:?}");
            }
        }
    }
    let unknown = ApiAnswer::of(api.request(Method::GET, "/api/user").send().await.unwrap()).await;
    assert_eq!(unknown.code(), (404, "NOT_FOUND"));
}

#[tokio::test]
async fn the_openapi_document_describes_every_route_and_a_page_shows_it() {
    let api = ApiHarness::start().await;
    let document = ApiAnswer::of(
        api.request(Method::GET, "/api/openapi.json")
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(document.status, 200);
    let document = document.body;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let operations = [
        ("post", PATH),
        ("get", PATH),
        ("delete", PATH),
        ("post", VERIFY),
    ];
    for (method, path) in operations {
        let operation = &document["paths"][path][method];
        assert_eq!(operation["security"][0]["bearer"], Value::Array(Vec::new()));
        for status in ["401", "500", "503"] {
            assert!(
                operation["responses"][status].is_object(),
                "{method} {path} {status}"
            );
        }
    }
    assert_eq!(
        document["components"]["securitySchemes"]["bearer"]["scheme"],
        "bearer"
    );

    let page = api.request(Method::GET, "/api/docs/").send().await.unwrap();
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    assert!(page.contains("swagger-ui"));
    // The page loads nothing from other servers.
    for quoted in page.split('"').filter(|part| part.starts_with("./")) {
        let path = format!("/api/docs/{}", &quoted[2..]);
        let part = api.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(part.status(), 200, "{path}");
    }
    assert!(!page.contains("https://"), "{page}");
}

#[tokio::test]
async fn without_a_way_to_verify_tokens_there_is_no_api() {
    let api = ApiHarness::with(&[("JWT_SECRET", "")]).await;
    for path in [PATH, VERIFY, "/api/openapi.json", "/api/docs/"] {
        for method in [Method::GET, Method::POST] {
            let response = api.request(method, path).send().await.unwrap();
            assert_eq!(response.status(), 404, "{path}");
        }
    }
}

#[test]
fn the_settings_of_the_tests_enable_the_api() {
    assert!(
        ProgramSettings::random("postgres://")
            .get("JWT_SECRET")
            .len()
            >= 32
    );
}
