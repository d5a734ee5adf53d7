//! The schemas of `docs/events` and the types of `kernel::event` say the same: what we write is what the
//! schemas allow, and what the schemas allow and ask for is what we can read.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod folder;
mod made;

use kernel::event::Event;
use proptest::prelude::*;
use serde_json::{Value, json};

use folder::{Folder, Schema};

#[test]
fn the_schemas_are_schemas() {
    for schema in &Folder::read().schemas {
        jsonschema::meta::validate(&schema.document)
            .unwrap_or_else(|fault| panic!("{}: {fault}", schema.name));
        assert_eq!(schema.document["title"], schema.name);
        assert_eq!(schema.document["properties"]["type"]["const"], schema.name);
    }
}

#[test]
fn every_example_is_allowed_and_read_and_written_back_as_it_was() {
    for schema in &Folder::read().schemas {
        let told = &schema.examples[0];
        assert_eq!(schema.document["examples"], json!([told.value]), "{}: shows another example", told.file);
        for example in &schema.examples {
            let file = &example.file;
            schema.allows(&example.value).unwrap_or_else(|fault| panic!("{file}: {fault}"));
            let event = read(&example.value).unwrap_or_else(|fault| panic!("{file}: {fault}"));
            assert_eq!(serde_json::to_value(&event).unwrap(), example.value, "{file}: is written otherwise");
        }
    }
}

#[test]
fn what_lacks_a_required_field_is_neither_allowed_nor_read() {
    for (schema, example) in every_example() {
        for place in schema.required_places(&example) {
            let mut spoiled = example.clone();
            let (parent, field) = place.rsplit_once('/').unwrap();
            spoiled.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field).unwrap();
            assert!(schema.allows(&spoiled).is_err(), "{} without {place} is allowed", schema.name);
            assert!(read(&spoiled).is_err(), "{} without {place} is read", schema.name);
        }
    }
}

#[test]
fn what_has_another_kind_of_value_is_neither_allowed_nor_read() {
    let mut tried = 0;
    for (schema, example) in every_example() {
        for place in places(&example, "") {
            for wrong in [json!({ "what": "is this" }), json!(-1.5), json!(true)] {
                let mut spoiled = example.clone();
                *spoiled.pointer_mut(&place).unwrap() = wrong.clone();
                assert!(schema.allows(&spoiled).is_err(), "{} with {place}: {wrong} is allowed", schema.name);
                assert!(read(&spoiled).is_err(), "{} with {place}: {wrong} is read", schema.name);
                tried += 1;
            }
        }
    }
    assert!(tried > 500, "only {tried} tried");
}

#[test]
fn a_field_of_a_later_version_is_allowed_and_read_over_anywhere() {
    for (schema, example) in every_example() {
        for place in objects(&example, "") {
            let mut later = example.clone();
            later.pointer_mut(&place).unwrap()["since_version_9"] = json!({ "any": ["thing"] });
            let fault = schema.allows(&later).err();
            assert!(fault.is_none(), "{} with a further field in {place:?}: {fault:?}", schema.name);
            assert_eq!(read(&later).unwrap(), read(&example).unwrap(), "{}: {place:?}", schema.name);
        }
    }
}

#[test]
fn the_table_names_every_type_with_its_topic() {
    let folder = Folder::read();
    for schema in &folder.schemas {
        let topic = read(&schema.examples[0].value).unwrap().topic().as_str();
        let row = format!("| `{topic}` | [`{0}`]({0}.schema.json) |", schema.name);
        assert!(folder.readme.contains(&row), "docs/events/README.md has no row {row}");
    }
    let rows = folder.readme.matches(".schema.json) |").count();
    assert_eq!(rows, folder.schemas.len(), "docs/events/README.md has rows for what is not there");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_event_we_can_write_is_allowed_and_read_back(event in made::event()) {
        let written = serde_json::to_value(&event).unwrap();
        let schema = schema_of(made::type_of(&event));
        schema.allows(&written).unwrap_or_else(|fault| panic!("{fault}: {written}"));
        prop_assert_eq!(written["type"].as_str(), Some(schema.name.as_str()));
        prop_assert_eq!(read(&written).unwrap(), event);
    }
}

fn read(value: &Value) -> Result<Event, serde_json::Error> {
    serde_json::from_str(&value.to_string())
}

fn schema_of(name: &str) -> &'static Schema {
    let found = Folder::read().schemas.iter().find(|schema| schema.name == name);
    found.unwrap_or_else(|| panic!("{name} has no schema in docs/events"))
}

fn every_example() -> impl Iterator<Item = (&'static Schema, Value)> {
    let examples = |schema: &'static Schema| schema.examples.iter().map(move |e| (schema, e.value.clone()));
    Folder::read().schemas.iter().flat_map(examples)
}

/// JSON pointers to every value below `value`.
fn places(value: &Value, at: &str) -> Vec<String> {
    let below = |key: String, value: &Value| {
        let place = format!("{at}/{key}");
        let mut found = places(value, &place);
        found.push(place);
        found
    };
    match value {
        Value::Object(fields) => fields.iter().flat_map(|(name, value)| below(name.clone(), value)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(at, item)| below(at.to_string(), item)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// JSON pointers to every object in `value`, itself included.
fn objects(value: &Value, at: &str) -> Vec<String> {
    let mut all = vec![at.to_owned()];
    all.extend(places(value, at));
    all.retain(|place| value.pointer(place).is_some_and(Value::is_object));
    all
}
