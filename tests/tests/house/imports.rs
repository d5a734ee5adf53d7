//! Who may depend on whom, read from each `Cargo.toml`.

use crate::tree::{SourceFile, Tree};

const SERVICE: &[&str] = &["kernel", "edge"];
/// What the tests of services and of their edge run on: real parts, which these themselves never see.
const IN_TESTS: &str = "backend";
/// Starts the binary; its tests that have to prepare a data directory from within are started by it too.
const HARNESS: &str = "turnline-tests";
/// Starts servers; tests of those who talk to them kill them and start them again.
const SERVERS: &str = "xtask";

/// Crates of this workspace and the crates of this workspace they may depend on, tests included.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("kernel", &[]),
    ("edge", &["kernel"]),
    ("backend", &["kernel"]),
    ("waiting-queue", SERVICE),
    ("active-queue", SERVICE),
    ("expiration", SERVICE),
    ("client-channel", SERVICE),
    ("reservation-api", SERVICE),
    ("web", &[]),
    (
        "turnline",
        &[
            "kernel",
            "edge",
            "backend",
            "waiting-queue",
            "active-queue",
            "expiration",
            "client-channel",
            "reservation-api",
            "web",
            "crowd",
        ],
    ),
    ("crowd", &[]),
    ("turnline-tests", &["kernel", "xtask"]),
    ("bench", &["kernel", "backend", "crowd", "turnline-tests", "xtask"]),
    ("xtask", &[]),
];

/// Knows databases; and `bench`, whose floors are bare ones.
const MAY_KNOW_DATABASES: [&str; 2] = ["backend", "bench"];
const DATABASES: &[&str] = &["rusqlite", "redis", "rdkafka", "sqlx", "tokio-postgres", "fjall", "redb"];
const IMPURE: &[&str] =
    &["tokio", "axum", "reqwest", "hyper", "rand", "getrandom", "uuid", "async-std", "chrono", "tracing"];

/// Dependencies between our crates that the table does not allow, and crates the table does not know.
pub fn between_crates(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for manifest in tree.manifests() {
        let name = package_name(manifest);
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(known, _)| *known == name) else {
            found.push(format!("{}: crate `{name}` is not in the table MAY_IMPORT", manifest.path));
            continue;
        };
        let tested_on = |own: &str| match own {
            IN_TESTS => *allowed == SERVICE || name == "edge" || name == "turnline-tests",
            HARNESS => name == "turnline",
            SERVERS => name == "backend",
            _ => false,
        };
        let shipped = dependencies(manifest, &["dependencies", "build-dependencies"]);
        let tests_own = dependencies(manifest, &["dev-dependencies"]);
        for dependency in shipped.into_iter().chain(tests_own.into_iter().filter(|own| !tested_on(&own.name)))
        {
            let ours = MAY_IMPORT.iter().any(|(known, _)| *known == dependency.name);
            if ours && !allowed.contains(&dependency.name.as_str()) {
                found.push(format!(
                    "{}: `{name}` may not import `{}`",
                    dependency.place(manifest),
                    dependency.name
                ));
            }
        }
    }
    found
}

/// Database and broker clients anywhere but in `backend`.
pub fn of_databases(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for manifest in tree.manifests().filter(|manifest| !MAY_KNOW_DATABASES.contains(&package_name(manifest)))
    {
        for dependency in dependencies(manifest, &["dependencies", "dev-dependencies", "build-dependencies"])
        {
            if DATABASES.contains(&dependency.name.as_str()) {
                let place = dependency.place(manifest);
                found.push(format!("{place}: `{}` belongs into `backend`", dependency.name));
            }
        }
    }
    found
}

/// What would let the kernel do I/O, wait, or be random. Its own tests may use more.
pub fn of_the_kernel(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for manifest in tree.manifests().filter(|manifest| package_name(manifest) == "kernel") {
        for dependency in dependencies(manifest, &["dependencies", "build-dependencies"]) {
            if IMPURE.contains(&dependency.name.as_str()) {
                found.push(format!("{}: `{}` is not pure", dependency.place(manifest), dependency.name));
            }
        }
    }
    found
}

struct Dependency {
    name: String,
    line: usize,
}

impl Dependency {
    fn place(&self, manifest: &SourceFile) -> String {
        format!("{}:{}", manifest.path, self.line)
    }
}

fn package_name(manifest: &SourceFile) -> &str {
    let name = manifest.text.lines().find_map(|line| line.trim().strip_prefix("name = \""));
    name.and_then(|rest| rest.split('"').next()).unwrap_or_default()
}

/// Names in the given sections, both as `name = …` and as a section `[dependencies.name]`.
fn dependencies(manifest: &SourceFile, sections: &[&str]) -> Vec<Dependency> {
    let mut found = Vec::new();
    let mut inside = false;
    for (line, text) in manifest.lines() {
        let text = text.trim();
        if let Some(section) = text.strip_prefix('[') {
            // `[target.'cfg(…)'.dependencies]` counts as well: only the last words matter.
            let section = section.trim_end_matches(']');
            inside = sections.iter().any(|s| section == *s || section.ends_with(&format!(".{s}")));
            if let Some((head, name)) = section.rsplit_once('.')
                && sections.iter().any(|s| head == *s || head.ends_with(&format!(".{s}")))
            {
                found.push(Dependency { name: name.to_owned(), line });
            }
        } else if inside && !text.is_empty() && !text.starts_with('#') {
            let name: String = text.chars().take_while(|c| !matches!(c, '.' | '=' | ' ')).collect();
            found.push(Dependency { name: name.trim_matches('"').to_owned(), line });
        }
    }
    found
}

#[test]
fn a_service_that_imports_another_is_caught() {
    let manifest = "[package]\nname = \"expiration\"\n[dependencies]\nkernel.workspace = true\nbackend.workspace = true\n\
                    [dev-dependencies]\nactive-queue = { path = \"x\" }\nbackend.workspace = true\n";
    let found = between_crates(&Tree::made_of(&[("expiration/Cargo.toml", manifest)]));
    assert_eq!(
        found,
        [
            "expiration/Cargo.toml:5: `expiration` may not import `backend`",
            "expiration/Cargo.toml:7: `expiration` may not import `active-queue`",
        ]
    );
}

#[test]
fn an_unknown_crate_is_caught() {
    let found = between_crates(&Tree::made_of(&[("extras/Cargo.toml", "[package]\nname = \"extras\"\n")]));
    assert_eq!(found, ["extras/Cargo.toml: crate `extras` is not in the table MAY_IMPORT"]);
}

#[test]
fn a_database_outside_backend_is_caught() {
    let edge = "[package]\nname = \"edge\"\n[dependencies.rusqlite]\nversion = \"1\"\n";
    let backend = "[package]\nname = \"backend\"\n[dependencies]\nrusqlite.workspace = true\n";
    let found = of_databases(&Tree::made_of(&[("edge/Cargo.toml", edge), ("backend/Cargo.toml", backend)]));
    assert_eq!(found, ["edge/Cargo.toml:3: `rusqlite` belongs into `backend`"]);
}

#[test]
fn an_impure_kernel_is_caught_and_its_tests_are_left_alone() {
    let kernel =
        "[package]\nname = \"kernel\"\n[dependencies]\ntokio = \"1\"\n[dev-dependencies]\nrand = \"1\"\n";
    let found = of_the_kernel(&Tree::made_of(&[("kernel/Cargo.toml", kernel)]));
    assert_eq!(found, ["kernel/Cargo.toml:4: `tokio` is not pure"]);
}
