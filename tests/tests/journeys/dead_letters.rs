//! What an operator sees of dead letters, and of rebuilding a room, where nothing has gone wrong.

use std::process::Output;

use serde_json::{Value, json};
use turnline_tests::Server;

/// A `turnline` command of the operator, aimed at this server.
async fn command(server: &Server, words: &[&str]) -> Output {
    server.command().args(words).env("TURNLINE_URL", server.url()).output().await.unwrap()
}

async fn told(server: &Server, words: &[&str]) -> String {
    let output = command(server, words).await;
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn refused(server: &Server, words: &[&str], why: &str) {
    let output = command(server, words).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains(why), "{words:?}: {error}");
}

#[tokio::test]
async fn without_dead_letters_the_list_is_empty_and_no_id_is_known() {
    let server = Server::start(&[]).await;
    assert_eq!(told(&server, &["dlq", "list"]).await, "no dead letters\n");
    assert_eq!(server.admin("GET", "/dlq?limit=7").send().await.expect(200).items(), [Value::Null; 0]);
    for id in ["1", "nothing", "a/b?c", "-1", "99999999999999999999999999"] {
        for verb in ["show", "replay"] {
            refused(&server, &["dlq", verb, "--", id], "unknown_letter").await;
        }
    }
    for (limit, code) in
        [("0", "invalid_limit"), ("201", "invalid_limit"), ("-1", "invalid_query"), ("x", "invalid_query")]
    {
        server.admin("GET", &format!("/dlq?limit={limit}")).send().await.expect_problem(400, code);
    }
    for (method, path) in [("GET", "/dlq"), ("GET", "/dlq/1"), ("POST", "/dlq/1/replay")] {
        let stranger = server.call(method, &format!("/v1/admin{path}")).send().await;
        stranger.expect_problem(401, "admin_token_required");
    }
}

#[tokio::test]
async fn rebuilding_a_room_that_lost_nothing_changes_nothing() {
    let server = Server::start(&[]).await;
    server.room("r", &json!({})).await;
    let _insider = server.admitted("r").await;
    let waiter = server.join("r").await;
    let told = told(&server, &["room", "rebuild", "r"]).await;
    let rebuilt: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(rebuilt["room"], "r");
    // Configured, joined, called, claimed, joined at the least.
    assert!(rebuilt["events"].as_u64().unwrap() >= 5 && rebuilt["through_seq"].is_u64(), "{rebuilt}");
    assert_eq!(server.status(&waiter).await.number_of("position"), 1);
    assert_eq!(server.join("r").await.number, 3);
    refused(&server, &["room", "rebuild", "nobody"], "unknown_room").await;
}
