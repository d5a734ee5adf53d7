//! What of `deploy/` and `compose.yaml` can be held to without an engine: all of them know the same services and
//! the same groups behind nginx, and no image is "whatever is newest".
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

const SERVICES: [&str; 5] =
    ["waiting-queue", "active-queue", "expiration", "client-channel", "reservation-api"];

fn read(path: &str) -> String {
    std::fs::read_to_string(xtask::run::root().join(path)).expect(path)
}

/// The words behind `key` on the lines that begin with it.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let begin = |line: &'a str| line.trim_start().trim_start_matches("- ").strip_prefix(key);
    text.lines().filter_map(begin).map(str::trim).collect()
}

#[test]
fn every_service_is_composed_and_has_a_manifest_that_is_used() {
    let (compose, kustomization) = (read("compose.yaml"), read("deploy/kustomization.yaml"));
    for service in SERVICES {
        assert!(compose.contains(&format!("command: [\"serve\", \"{service}\"]")), "{service}: compose.yaml");
        let manifest = read(&format!("deploy/kubernetes/{service}.yaml"));
        assert_eq!(values(&manifest, "args:"), [format!("[serve, {service}]")]);
        assert!(
            kustomization.contains(&format!("- kubernetes/{service}.yaml\n")),
            "{service}: kustomization"
        );
    }
}

#[test]
fn all_upstreams_name_the_groups_that_nginx_asks_for() {
    let nginx = read("deploy/nginx.conf");
    let mut asked: Vec<&str> = values(&nginx, "proxy_pass http://");
    asked.sort_unstable();
    asked.dedup();
    for file in ["deploy/upstreams.conf", "deploy/compose/upstreams.conf", "deploy/kubernetes/upstreams.conf"]
    {
        let text = read(file);
        let mut named: Vec<String> =
            values(&text, "upstream ").into_iter().map(|group| group.replace(" {", ";")).collect();
        named.sort_unstable();
        assert_eq!(named, asked, "{file}");
    }
}

#[test]
fn images_are_pinned() {
    let mut seen = 0;
    for file in ["compose.yaml", "deploy/kubernetes/nginx.yaml"] {
        for image in values(&read(file), "image:") {
            let tag = image.split_once(':').map(|(_, tag)| tag);
            assert!(tag.is_some_and(|tag| tag.contains('.') && tag != "latest"), "{file}: {image}");
            seen += 1;
        }
    }
    assert_eq!(seen, 6);
    for image in values(&read("deploy/Dockerfile"), "FROM ") {
        assert!(image.contains(':') && !image.contains("latest"), "deploy/Dockerfile: {image}");
    }
}
