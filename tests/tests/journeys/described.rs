//! What the API says of itself: every answer described, every refusal a problem.

use std::collections::BTreeSet;

use serde_json::Value;
use turnline_tests::Server;

#[tokio::test]
async fn the_description_is_whole() {
    let server = Server::start(&[]).await;
    let description = server.get("/openapi.json").send().await.expect(200).json;
    let paths = description["paths"].as_object().expect("paths");
    assert!(paths.len() >= 20, "{} paths", paths.len());
    let mut names = BTreeSet::new();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().expect("operations") {
            let name = operation["operationId"].as_str().expect("a name");
            assert!(names.insert(name), "{method} {path} is not the only {name}");
            let responses = operation["responses"].as_object().expect("responses");
            assert!(responses.contains_key("default"), "{method} {path} may be refused");
            for (status, response) in responses {
                let at = format!("{method} {path} {status}");
                assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{at}");
                let refusal = status.starts_with(['4', '5', 'd']);
                let is_json = response["content"].get("application/json").is_some();
                let is_problem = response["content"].get("application/problem+json").is_some();
                assert_eq!((refusal && is_json, refusal), (false, is_problem), "{at}");
            }
        }
    }
    assert_ne!(description["components"]["schemas"]["ProblemBody"], Value::Null);
}
