//! The folder `docs/events`, read once: schemas with their examples.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jsonschema::{Draft, Validator};
use serde_json::Value;

pub struct Folder {
    pub schemas: Vec<Schema>,
    pub readme: String,
}

pub struct Schema {
    /// The event's type.
    pub name: String,
    pub document: Value,
    validator: Validator,
    /// `Type.json` first, then `Type.2.json` and so on.
    pub examples: Vec<Example>,
}

pub struct Example {
    pub file: String,
    pub value: Value,
}

static FOLDER: LazyLock<Folder> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/events");
    let examples: Vec<Example> = files(&folder.join("examples")).into_iter().map(example).collect();
    let is_schema = |path: &PathBuf| file_name(path).ends_with(".schema.json");
    let mut schemas: Vec<_> = files(&folder).into_iter().filter(is_schema).map(Schema::read).collect();
    for example in examples {
        let name = example.value["type"].as_str().expect("an event has a type");
        assert_eq!(example.file.split('.').next(), Some(name), "{} lies under another name", example.file);
        let schema = schemas.iter_mut().find(|schema| schema.name == name);
        schema.unwrap_or_else(|| panic!("{} has no schema", example.file)).examples.push(example);
    }
    for schema in &mut schemas {
        schema.examples.sort_by_key(|example| (example.file.len(), example.file.clone()));
        assert!(!schema.examples.is_empty(), "{} has no example", schema.name);
    }
    let readme = std::fs::read_to_string(folder.join("README.md")).expect("docs/events/README.md");
    Folder { schemas, readme }
});

impl Folder {
    pub fn read() -> &'static Self {
        &FOLDER
    }
}

impl Schema {
    fn read(path: PathBuf) -> Self {
        let document = json(&path);
        let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
        let validator =
            options.build(&document).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
        let name = file_name(&path).trim_end_matches(".schema.json").to_owned();
        Self { name, document, validator, examples: Vec::new() }
    }

    pub fn allows(&self, value: &Value) -> Result<(), String> {
        let faults: Vec<_> = self
            .validator
            .iter_errors(value)
            .map(|fault| format!("{} at {:?}", fault, fault.instance_path().as_str()))
            .collect();
        if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
    }

    /// JSON pointers to every required field that is in `value`.
    pub fn required_places(&self, value: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.require(&self.document, value, "", &mut found);
        found
    }

    fn require(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        let schema = match schema["$ref"].as_str() {
            Some(reference) => self.document.pointer(reference.trim_start_matches('#')).expect("a reference"),
            None => schema,
        };
        for field in schema["required"].as_array().into_iter().flatten() {
            found.push(format!("{at}/{}", field.as_str().unwrap()));
        }
        for (field, value) in value.as_object().into_iter().flatten() {
            self.require(&schema["properties"][field], value, &format!("{at}/{field}"), found);
        }
        for (place, item) in value.as_array().into_iter().flatten().enumerate() {
            self.require(&schema["items"], item, &format!("{at}/{place}"), found);
        }
    }
}

fn example(path: PathBuf) -> Example {
    Example { file: file_name(&path).to_owned(), value: json(&path) }
}

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|fault| panic!("{}: {fault}", folder.display()));
    let mut files: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap()
}
