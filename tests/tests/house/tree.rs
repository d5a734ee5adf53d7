//! The checkout as the rules see it: every text file with its path, read once.

use std::path::Path;

/// Build output, dependencies and data: not ours to judge.
const SKIPPED: &[&str] = &[".git", "target", "node_modules", "turnline-data"];
const READ: &[&str] = &["rs", "toml", "sql", "js", "mjs", "css", "html"];

/// One file; `path` is relative to the root, with `/`.
pub struct SourceFile {
    pub path: String,
    pub text: String,
}

pub struct Tree {
    /// Files whose text matters to a rule; others are here with an empty text.
    pub files: Vec<SourceFile>,
}

impl Tree {
    pub fn of_this_checkout() -> Tree {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root");
        let mut files = Vec::new();
        collect(root, root, &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Tree { files }
    }

    /// A made-up checkout, to see a rule catch something.
    pub fn made_of(files: &[(&str, &str)]) -> Tree {
        let file = |(path, text): &(&str, &str)| SourceFile { path: (*path).into(), text: (*text).into() };
        Tree { files: files.iter().map(file).collect() }
    }

    pub fn rust(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    pub fn manifests(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(|file| file.path.ends_with("/Cargo.toml"))
    }
}

impl SourceFile {
    /// Lines with their numbers, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    /// Lies in a `tests` folder: the harness and the integration tests of every crate.
    pub fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests/")
    }
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<SourceFile>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, files);
            continue;
        }
        let is_read = path.extension().and_then(|ending| ending.to_str()).is_some_and(|e| READ.contains(&e));
        // A file that another process removes in between is not part of the checkout.
        let text = if is_read { std::fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        let relative = path.strip_prefix(root).expect("it lies in the root");
        files.push(SourceFile { path: relative.to_string_lossy().replace('\\', "/"), text });
    }
}
