//! Signed-in users, who call the API as the front end does.

use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use uuid::Uuid;

use super::{ApiAnswer, ApiHarness, PATH, VERIFY, guess, number, tokens};

/// A user with a token.
#[derive(Clone)]
pub(super) struct SignedInCaller<'a> {
    pub(super) api: &'a ApiHarness,
    pub(super) user: Uuid,
    pub(super) token: String,
}

impl<'a> SignedInCaller<'a> {
    pub(super) fn new(api: &'a ApiHarness, user: Uuid) -> Self {
        let token = tokens::of(user, api.app.settings.get("JWT_SECRET"));
        Self { api, user, token }
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.api.request(method, path).bearer_auth(&self.token)
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> ApiAnswer {
        let request = self.request(Method::POST, path).json(body);
        ApiAnswer::of(request.send().await.unwrap()).await
    }

    /// Posts with an `Idempotency-Key`.
    pub(super) async fn post_once(&self, key: &str, path: &str, body: &Value) -> ApiAnswer {
        let request = self.request(Method::POST, path).json(body);
        let response = request.header("idempotency-key", key).send().await.unwrap();
        ApiAnswer::of(response).await
    }

    pub(super) async fn link(&self, text: &str) -> ApiAnswer {
        self.post(PATH, &number(text)).await
    }

    pub(super) async fn verify(&self, number: &str, code: &str) -> ApiAnswer {
        self.post(VERIFY, &guess(number, code)).await
    }

    pub(super) async fn show(&self) -> ApiAnswer {
        let request = self.request(Method::GET, PATH);
        ApiAnswer::of(request.send().await.unwrap()).await
    }

    pub(super) async fn unlink(&self) -> ApiAnswer {
        let request = self.request(Method::DELETE, PATH);
        ApiAnswer::of(request.send().await.unwrap()).await
    }

    /// Links a number and enters the code.
    pub(super) async fn prove(&self, number: &str) {
        assert_eq!(self.link(number).await.status, 201);
        let code = self.api.code_sent_to(number).await;
        assert_eq!(self.verify(number, &code).await.status, 200);
    }
}
