//! The operator's commands, run as processes: their output and exit codes.

use embedded_postgres::testing::TestDatabase;
use uuid::Uuid;

use crate::{
    app::TestApp,
    database::{Database, NUMBER},
    process::{CommandOutput, run},
    settings::ProgramSettings,
};

pub(crate) fn assert_fails(ran: &CommandOutput, code: i32, hint: &str) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    assert!(
        ran.stderr.contains(hint),
        "{hint:?} is missing: {}",
        ran.stderr
    );
    assert_eq!(ran.stdout, "");
}

pub(crate) fn assert_says(ran: &CommandOutput, text: &str) {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stdout.contains(text),
        "{text:?} is missing: {}",
        ran.stdout
    );
}

#[tokio::test]
async fn an_empty_database_can_be_migrated_twice() {
    let settings = ProgramSettings::random(&TestDatabase::empty().await.url());
    for _ in 0..2 {
        let ran = run(&["migrate"], &settings).await;
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(ran.stderr.contains("the database is up to date"));
    }
    let nowhere = settings.with("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
    let ran = run(&["migrate"], &nowhere).await;
    assert_fails(&ran, 1, "the migrations were not applied");
}

#[tokio::test]
async fn commands_link_list_and_unlink_a_number() {
    let database = Database::create().await;
    let settings = &database.settings;
    let user = Uuid::new_v4().to_string();
    let number = "+12025550177";
    let link = |user: &str, number: &str| {
        ["phone-numbers", "link", "--user", user, number].map(str::to_owned)
    };
    let go = async |arguments: [String; 5]| {
        run(&arguments.each_ref().map(String::as_str), settings).await
    };

    assert_fails(&go(link(&user, number)).await, 1, "--create-user");
    let create = [
        "phone-numbers",
        "link",
        "--create-user",
        "--user",
        &user,
        number,
    ];
    assert_says(&run(&create, settings).await, "linked and verified");
    assert_says(&go(link(&user, number)).await, "linked and verified");
    assert_fails(
        &go(link(&user, NUMBER)).await,
        1,
        "already linked to another user",
    );
    for no_number in [
        "12025550177",
        "(202) 555-0177",
        "+0202555017",
        "+1 202 555 0177",
    ] {
        assert_fails(&go(link(&user, no_number)).await, 2, "write it in E.164");
    }
    assert_fails(&go(link("me", number)).await, 2, "--user");

    let all = run(&["phone-numbers", "list"], settings).await;
    assert_says(&all, number);
    assert_says(&all, NUMBER);
    let mine = run(&["phone-numbers", "list", "--user", &user], settings).await;
    assert_says(&mine, number);
    assert_says(&mine, &user);
    assert!(!mine.stdout.contains(NUMBER));

    let unlink = ["phone-numbers", "unlink", number];
    assert_says(&run(&unlink, settings).await, "unlinked");
    assert_fails(&run(&unlink, settings).await, 1, "not linked");
    assert!(
        !run(&["phone-numbers", "list"], settings)
            .await
            .stdout
            .contains(number)
    );
}

#[tokio::test]
async fn numbers_stored_in_clear_by_the_app_work_and_a_command_seals_them() {
    let app = TestApp::start().await;
    let number = "+12025550188";
    sqlx::query(
        "insert into user_phone_numbers (user_id, phone_number, encrypted_phone_number, verified)
         values ($1, $2, 'whatever the app made of it', true)",
    )
    .bind(app.user)
    .bind(number)
    .execute(&app.pool)
    .await
    .unwrap();
    let deliver = async |body: &str| {
        let sid = app.deliver_text(&crate::app::text(number, body)).await;
        app.run_until_ended(&sid).await
    };
    assert_eq!(deliver("before").await, "processed");
    let seal = ["phone-numbers", "seal"];
    assert_says(&run(&seal, &app.settings).await, "1 rows sealed");
    assert_says(&run(&seal, &app.settings).await, "0 rows sealed");
    let in_clear: i64 = sqlx::query_scalar(
        "select count(*) from user_phone_numbers where phone_number like '%2025550188%'",
    )
    .fetch_one(&app.pool)
    .await
    .unwrap();
    assert_eq!(in_clear, 0);
    assert_eq!(deliver("after").await, "processed");
    assert_says(
        &run(&["phone-numbers", "list"], &app.settings).await,
        number,
    );
}
