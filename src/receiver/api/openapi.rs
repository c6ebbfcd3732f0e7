//! The `OpenAPI` document, as far as it does not stand with the routes: what all of them may answer.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses, Modify, OpenApi,
    openapi::{
        self, Content, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder, Type,
        schema::ObjectBuilder,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::schema::{Code, Delivery, DeliveryState, Problem, RateLimited, Refusal, Unauthorized};

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// What any request may be answered.
pub(super) struct Always;

/// What else a POST may be answered.
pub(super) struct OfPosts;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Pigeonhole: phone numbers",
        description = "Links a phone number to the signed-in user, so that text messages from it are theirs. \
                       `error` and `detail` are sentences for people and may change; programs look at the status and \
                       at `code`."
    ),
    tags((name = "phone number", description = "The signed-in user's phone number")),
    components(schemas(Code, Delivery, DeliveryState, Problem, RateLimited, Refusal, Unauthorized)),
    modifiers(&Bearer),
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some(
                "A JWT of the app: HS256, or RS256 or ES256 with a key of its JWKS. `userId` or `sub` is the user.",
            ))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// The document less the routes.
pub(super) fn document() -> openapi::OpenApi {
    Document::openapi()
}

impl IntoResponses for Always {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let unauthorized = body("Whoever asks is not signed in", &[(JSON, "Unauthorized")]).header(
            "WWW-Authenticate",
            HeaderBuilder::new()
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                .build(),
        );
        let away = body("Ask again: the database is away", &[(PROBLEM, "Problem")]);
        all([
            ("401", unauthorized),
            ("500", body("It is our fault", &[(JSON, "Refusal")])),
            ("503", retry_after(away)),
        ])
    }
}

impl IntoResponses for OfPosts {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let problem = |description| body(description, &[(PROBLEM, "Problem")]);
        let wrong = body(
            "What was sent is wrong: by its code or, if it is not the JSON that was expected or its \
             Idempotency-Key is none, as a problem",
            &[(JSON, "Refusal"), (PROBLEM, "Problem")],
        );
        let limited = body("Too much, for now", &[(JSON, "RateLimited")]);
        all([
            ("400", wrong),
            ("408", problem("The body took too long")),
            ("413", problem("The body is larger than 16 KiB")),
            ("415", problem("The body is not application/json")),
            (
                "422",
                problem("The Idempotency-Key was used for another request"),
            ),
            ("429", retry_after(limited)),
        ])
    }
}

fn body(description: &str, contents: &[(&str, &str)]) -> ResponseBuilder {
    let response = ResponseBuilder::new().description(description);
    contents
        .iter()
        .fold(response, |response, (media_type, schema)| {
            let content = Content::new(Some(Ref::from_schema_name(*schema)));
            response.content(*media_type, content)
        })
}

fn retry_after(response: ResponseBuilder) -> ResponseBuilder {
    let header = HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::Integer)))
        .description(Some("Seconds"))
        .build();
    response.header("Retry-After", header)
}

fn all<const N: usize>(
    responses: [(&str, ResponseBuilder); N],
) -> BTreeMap<String, RefOr<Response>> {
    responses
        .map(|(status, response)| (status.to_owned(), response.build().into()))
        .into()
}
