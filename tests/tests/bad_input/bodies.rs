//! Wrong bodies: each field wrong one at a time, and bodies that are no JSON object at all.

use serde_json::{Value, json};
use turnline_tests::{Call, fresh_key};

use crate::Wrong;
use crate::endpoints::{ENDPOINTS, Endpoint, Key};
use crate::scene::Scene;

/// The largest body the contract takes, in bytes.
const BODY_MAX: usize = 64 * 1024;
const JSON: &str = "application/json";

/// Every endpoint that writes, every way its body can be wrong.
pub fn all(scene: &Scene) -> Vec<Wrong> {
    let mut wrongs = Vec::new();
    for endpoint in ENDPOINTS {
        if let Some(body) = endpoint.body {
            let good = body(scene);
            fields(scene, endpoint, &good, &mut wrongs);
            shapes(scene, endpoint, &good, &mut wrongs);
        } else if endpoint.method != "GET" {
            uncalled_for(scene, endpoint, &mut wrongs);
        }
    }
    wrongs
}

/// What says something to a call that hears nothing.
fn uncalled_for(scene: &Scene, endpoint: &Endpoint, wrongs: &mut Vec<Wrong>) {
    for (what, body, status, codes) in [
        (
            "an unknown field where no body is asked for",
            b"{\"surprise\":1}".to_vec(),
            &[400],
            &["unknown_field"][..],
        ),
        ("no JSON where no body is asked for", b"surprise".to_vec(), &[400], &[]),
        ("a body too long where none is asked for", vec![b' '; BODY_MAX + 1], &[413], &[]),
    ] {
        let call = correct_but_for_the_body(scene, endpoint).body(JSON, body);
        wrongs.push(Wrong { what: what.to_owned(), call, statuses: status, codes });
    }
}

fn fields(scene: &Scene, endpoint: &Endpoint, good: &Value, wrongs: &mut Vec<Wrong>) {
    let mut refused =
        |what: String, body: &Value, statuses: &'static [u16], codes: &'static [&'static str]| {
            let call = correct_but_for_the_body(scene, endpoint).json(body);
            wrongs.push(Wrong { what, call, statuses, codes });
        };
    refused("an unknown field".into(), &with(good, "surprise", &json!(1)), &[400], &["unknown_field"]);
    for field in endpoint.fields {
        let name = field.name;
        if field.required {
            refused(format!("`{name}` missing"), &without(good, name), &[400], &[]);
        }
        if !field.nullable {
            refused(format!("`{name}` null"), &with(good, name, &Value::Null), &[400], &[]);
        }
        let usual = good.get(name).cloned().unwrap_or_else(|| usual_value(name));
        for value in of_other_types(&usual) {
            refused(format!("`{name}` of a wrong type, {value}"), &with(good, name, &value), &[400], &[]);
        }
        for value in (field.wrong)() {
            let what = format!("`{name}` = {}", shortened(&value));
            // A lane nobody was granted is 403 whatever its name.
            let statuses: &[u16] = if name == "lane" { &[400, 403] } else { &[400] };
            refused(what, &with(good, name, &value), statuses, &[]);
        }
    }
}

fn shapes(scene: &Scene, endpoint: &Endpoint, good: &Value, wrongs: &mut Vec<Wrong>) {
    let mut refused = |what: &str, content_type: &str, body: Vec<u8>, statuses: &'static [u16]| {
        let call = correct_but_for_the_body(scene, endpoint).body(content_type, body);
        wrongs.push(Wrong { what: what.to_owned(), call, statuses, codes: &[] });
    };
    let text = good.to_string();
    for (what, body) in [
        ("a body cut short", text.as_bytes()[..text.len() - 1].to_vec()),
        ("more after the body", format!("{text}{text}").into_bytes()),
        ("a list", b"[]".to_vec()),
        ("null", b"null".to_vec()),
        ("a text", b"\"x\"".to_vec()),
        ("no JSON", b"capacity=5".to_vec()),
        ("no UTF-8", b"{\"lane\":\"\xff\xfe\"}".to_vec()),
        ("a NUL", b"\0".to_vec()),
        ("ten thousand lists in lists", "[".repeat(10_000).into_bytes()),
        ("a field twice", twice(good)),
    ] {
        refused(what, JSON, body, &[400]);
    }
    // Joining asks for nothing, so nothing is an answer.
    if endpoint.fields.iter().any(|field| field.required) {
        refused("an empty body", JSON, Vec::new(), &[400]);
    }
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        refused(&format!("content type `{content_type}`"), content_type, text.clone().into_bytes(), &[415]);
    }
    refused("a body one byte too long", JSON, padded(&text, BODY_MAX + 1), &[413]);
    refused("a body far too long", JSON, padded(&text, 64 * BODY_MAX), &[413]);
    // The longest body there may be is read: what is refused is the field in it.
    let longest = padded(&with(good, "surprise", &json!(1)).to_string(), BODY_MAX);
    let call = correct_but_for_the_body(scene, endpoint).body(JSON, longest);
    let what = "the longest body, with an unknown field".to_owned();
    wrongs.push(Wrong { what, call, statuses: &[400], codes: &["unknown_field"] });
}

fn correct_but_for_the_body(scene: &Scene, endpoint: &Endpoint) -> Call {
    let call = scene.call(endpoint.method, &scene.path(endpoint.path), endpoint.caller);
    match endpoint.key {
        Key::Required => call.key(&fresh_key()),
        Key::Optional | Key::Unused => call,
    }
}

fn with(good: &Value, name: &str, value: &Value) -> Value {
    let mut body = good.clone();
    body[name] = value.clone();
    body
}

fn without(good: &Value, name: &str) -> Value {
    let mut body = good.clone();
    body.as_object_mut().expect("bodies are objects").remove(name);
    body
}

/// The first field of a body given twice; for a body without fields, an unknown one twice.
fn twice(good: &Value) -> Vec<u8> {
    let (name, value) = good
        .as_object()
        .and_then(|fields| fields.iter().next())
        .map_or_else(|| ("lane".to_owned(), json!("x")), |(name, value)| (name.clone(), value.clone()));
    format!("{{\"{name}\":{value},\"{name}\":{value}}}").into_bytes()
}

/// A value of the type an optional field has.
fn usual_value(name: &str) -> Value {
    match name {
        "lanes" => json!([]),
        "admit_per_minute" | "max_waiting" => json!(1),
        _ => json!("x"),
    }
}

/// One value of every JSON type that `usual` is not of; null may mean "absent" and is not among them.
fn of_other_types(usual: &Value) -> Vec<Value> {
    let all = [json!(7), json!("seven"), json!(true), json!([7]), json!({ "seven": 7 })];
    let kind = std::mem::discriminant(usual);
    all.into_iter().filter(|value| std::mem::discriminant(value) != kind).collect()
}

fn padded(text: &str, length: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(length, b' ');
    bytes
}

fn shortened(value: &Value) -> String {
    value.to_string().chars().take(150).collect()
}
