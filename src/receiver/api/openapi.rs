//! The part of the `OpenAPI` document that is not beside the handlers: the responses that they
//! share.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses, Modify, OpenApi,
    openapi::{
        self, Content, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder, Type,
        schema::ObjectBuilder,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::schema::{
    ApiRefusal, DeliveryState, Problem, RateLimited, RefusalCode, SmsDelivery, Unauthorized,
};

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// Responses that every request may get.
pub(super) struct AllResponses;

/// Further responses that a POST may get.
pub(super) struct PostResponses;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Pigeonhole: phone numbers",
        description = "Links a phone number to the signed-in user, so that text messages from it belong to the user. \
                       `error` and `detail` are sentences for people and may change; programs read the status and \
                       `code`."
    ),
    tags((name = "phone number", description = "The signed-in user's phone number")),
    components(schemas(ApiRefusal, DeliveryState, Problem, RateLimited, RefusalCode, SmsDelivery, Unauthorized)),
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

/// The document without the routes.
pub(super) fn document() -> openapi::OpenApi {
    Document::openapi()
}

impl IntoResponses for AllResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let unauthorized = body("The request has no valid token", &[(JSON, "Unauthorized")])
            .header(
                "WWW-Authenticate",
                HeaderBuilder::new()
                    .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                    .build(),
            );
        let away = body("Try again: the database is away", &[(PROBLEM, "Problem")]);
        all([
            ("401", unauthorized),
            ("500", body("An error of the server", &[(JSON, "Refusal")])),
            ("503", retry_after(away)),
        ])
    }
}

impl IntoResponses for PostResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let problem = |description| body(description, &[(PROBLEM, "Problem")]);
        let wrong = body(
            "The request is wrong: a refusal with a code or, if the body is not JSON or the Idempotency-Key \
             is not valid, a problem",
            &[(JSON, "Refusal"), (PROBLEM, "Problem")],
        );
        let limited = body("A limit is used up", &[(JSON, "RateLimited")]);
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
