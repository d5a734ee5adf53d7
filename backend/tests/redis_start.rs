//! What a process says at its start of a Redis that could lose tickets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod postgres_scene;
mod redis_scene;

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use redis_scene::Scene;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use xtask::services::Service;

/// Keeps what is logged: how loud, and the text with its fields.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(Level, String)>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}

impl Subscriber for Heard {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("backend")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push((*event.metadata().level(), text.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What a start on this Redis says, warnings and worse.
async fn said(scene: &Scene, url: &str) -> Vec<(Level, String)> {
    let heard = Heard::default();
    let listening = tracing::subscriber::set_default(heard.clone());
    scene.process_by(url).await;
    drop(listening);
    let mut said = heard.0.lock().unwrap().clone();
    said.retain(|(level, _)| *level <= Level::WARN);
    said
}

#[tokio::test]
async fn a_redis_that_could_lose_tickets_is_told_loudly() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let service = tokio::task::spawn_blocking(move || Service::redis(&path)).await.unwrap().unwrap();
    let scene = Scene::on(&service.url()).await;
    assert_eq!(said(&scene, &scene.url).await, []);

    let mut aside = scene.aside().await;
    for (setting, value, word) in [
        ("appendfsync", "everysec", "`appendfsync always`"),
        ("maxmemory-policy", "allkeys-lru", "`maxmemory-policy noeviction`"),
        ("appendonly", "no", "`appendonly yes`"),
    ] {
        let mut set = redis::cmd("CONFIG");
        let _: () = set.arg("SET").arg(setting).arg(value).query_async(&mut aside).await.unwrap();
        let said = said(&scene, &scene.url).await;
        let told = |(level, text): &(Level, String)| *level == Level::ERROR && text.contains(word);
        assert!(said.iter().any(told), "{setting} {value}: {said:?}");
    }

    let mut user = redis::cmd("ACL");
    user.arg("SETUSER").arg("guest").arg(&["on", ">a-secret", "~*", "&*", "+@all", "-config"][..]);
    let _: () = user.query_async(&mut aside).await.unwrap();
    let said = said(&scene, &scene.url.replace("://", "://guest:a-secret@")).await;
    assert!(matches!(&said[..], [(Level::WARN, text)] if text.contains("nobody knows")), "{said:?}");
    assert!(said.iter().all(|(_, text)| !text.contains("a-secret")));
}
