//! The registry and the ceilings in PostgreSQL, and many processes over one schema from its first moment on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod postgres_scene;

use backend::cluster::postgres::{Ceilings, ConnectError, Database, PgRegistry};
use kernel::contract::policy;
use kernel::ports::{Registry, RoomRecord, StoreError};
use kernel::ticket::RoomBirth;
use kernel::words::RoomId;
use postgres_scene::{Schema, url};
use tokio::task::JoinSet;

fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

fn record(name: &str, born: u64) -> RoomRecord {
    let secret = u8::try_from(born % 251).unwrap();
    RoomRecord {
        birth: RoomBirth { room: room(name), born },
        policy: policy(5),
        visitor_key: None,
        lottery_secret: [secret; 32],
    }
}

#[tokio::test]
async fn a_room_is_read_as_it_was_saved() {
    let schema = Schema::fresh();
    let registry = PgRegistry::new(schema.connect().await);
    assert!(registry.load(&room("hall")).await.unwrap().is_none());
    let mut saved = record("hall", u64::MAX);
    saved.visitor_key = Some("sixteen bytes ...".to_owned());
    saved.policy.go_to = Some("/\u{2713}".to_owned());
    assert!(registry.save(&saved).await.unwrap() == saved);
    assert!(registry.load(&room("hall")).await.unwrap() == Some(saved.clone()));
    for name in ["z", "a-b", "a0", "a_b"] {
        registry.save(&record(name, 1)).await.unwrap();
    }
    let names: Vec<_> = registry.all().await.unwrap().into_iter().map(|one| one.birth.room).collect();
    assert_eq!(names, ["a-b", "a0", "a_b", "hall", "z"].map(room), "by name, as the kernel sorts them");
}

#[tokio::test]
async fn the_first_gives_a_room_its_birth_and_the_last_its_policy() {
    let schema = Schema::fresh();
    let registry = PgRegistry::new(schema.connect().await);
    let first = record("hall", 1);
    registry.save(&first).await.unwrap();
    let mut second = record("hall", 2);
    second.policy = policy(9);
    second.visitor_key = Some("sixteen bytes ...".to_owned());
    let kept = registry.save(&second).await.unwrap();
    assert_eq!((kept.birth.born, kept.lottery_secret), (1, first.lottery_secret));
    assert_eq!((kept.policy.capacity, kept.visitor_key.is_some()), (9, true));
    assert!(registry.load(&room("hall")).await.unwrap() == Some(kept));
}

#[tokio::test]
async fn a_new_policy_alone_leaves_the_visitor_key() {
    let schema = Schema::fresh();
    let (one, two) = (PgRegistry::new(schema.connect().await), PgRegistry::new(schema.connect().await));
    let bare = record("hall", 1);
    assert!(two.save_policy(&bare).await.unwrap() == bare, "it makes the room when it is new");
    let keyed = RoomRecord { visitor_key: Some("sixteen bytes ...".to_owned()), ..bare.clone() };
    one.save(&keyed).await.unwrap();
    // Decided on what was read before the key came.
    let kept = two.save_policy(&RoomRecord { policy: policy(9), ..bare }).await.unwrap();
    assert_eq!((kept.policy.capacity, kept.visitor_key), (9, keyed.visitor_key));
}

/// Each has a pool of its own, as processes do, and all of them come to an empty database.
#[tokio::test(flavor = "multi_thread")]
async fn processes_starting_together_make_one_schema_and_agree_on_a_new_room() {
    let schemas = [Schema::fresh(), Schema::fresh()];
    let mut starting = JoinSet::new();
    for process in 0..10_u64 {
        let name = schemas[usize::try_from(process % 2).unwrap()].name.clone();
        starting.spawn(async move {
            let database = Database::connect(&url(), &name).await.unwrap();
            let kept = PgRegistry::new(database).save(&record("hall", process)).await.unwrap();
            (name, kept.birth.born, kept.lottery_secret)
        });
    }
    let mut births = starting.join_all().await;
    births.sort();
    births.dedup();
    assert_eq!(births.len(), 2, "one birth and one secret a schema: {births:?}");
    assert_ne!(births[0].0, births[1].0);
}

#[tokio::test]
async fn a_ceiling_never_sinks() {
    let schema = Schema::fresh();
    let (one, two) = (schema.connect().await, schema.connect().await);
    let hall = room("hall");
    assert_eq!((one.known(&hall).await.unwrap(), one.ceiling(&hall).await.unwrap()), (false, 0));
    assert_eq!(one.reserve(&hall, 0).await.unwrap(), 0);
    assert!(two.known(&hall).await.unwrap());
    assert_eq!(one.reserve(&hall, 1_000).await.unwrap(), 1_000);
    assert_eq!(two.reserve(&hall, 10).await.unwrap(), 1_000);
    let (a, b) = tokio::join!(one.reserve(&hall, 3_000), two.reserve(&hall, 2_000));
    assert_eq!((a.unwrap(), b.unwrap() >= 2_000), (3_000, true));
    assert_eq!(two.ceiling(&hall).await.unwrap(), 3_000);
    assert!(!two.known(&room("tent")).await.unwrap());
}

#[tokio::test]
async fn a_schema_of_a_newer_version_is_refused() {
    let schema = Schema::fresh();
    schema.connect().await;
    let newer = "INSERT INTO registry_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'of tomorrow', TRUE, '', 0)";
    sqlx::query(newer).execute(&mut schema.aside().await).await.unwrap();
    let refused = Database::connect(&url(), &schema.name).await.err().unwrap();
    assert!(matches!(refused, ConnectError::Newer(_)), "{refused}");
}

#[tokio::test]
async fn what_is_no_address_or_namespace_is_refused_in_plain_words() {
    for namespace in ["pg_catalog", "Upper", "quote\"", "a b", &"x".repeat(64)] {
        let refused = Database::connect(&url(), namespace).await.err().unwrap();
        assert!(matches!(refused, ConnectError::BadNamespace(_)), "{namespace}: {refused}");
    }
    let refused = Database::connect("127.0.0.1:5432", "").await.err().unwrap();
    assert!(matches!(refused, ConnectError::BadUrl(_)), "{refused}");
    // A port that nobody listens on: bound and closed again.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = format!("postgres://turnline:a-secret@127.0.0.1:{port}/turnline");
    let refused = Database::connect(&nobody, "").await.err().unwrap();
    assert!(matches!(refused, ConnectError::Unreachable(_)), "{refused}");
    assert!(!format!("{refused} {refused:?}").contains("a-secret"));
}

#[tokio::test]
async fn a_connection_cut_by_the_server_is_replaced() {
    let schema = Schema::fresh();
    let registry = PgRegistry::new(schema.connect().await);
    let mut aside = schema.aside().await;
    for born in 0..5 {
        registry.save(&record("hall", born)).await.unwrap();
        assert!(schema.cut(&mut aside).await > 0);
        assert_eq!(registry.load(&room("hall")).await.unwrap().unwrap().birth.born, 0);
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_broken_and_a_table_that_is_away_is_not() {
    let schema = Schema::fresh();
    let registry = PgRegistry::new(schema.connect().await);
    registry.save(&record("hall", 1)).await.unwrap();
    let mut aside = schema.aside().await;
    sqlx::query("UPDATE registry SET policy = '{\"of\": \"tomorrow\"}'").execute(&mut aside).await.unwrap();
    let unreadable = registry.load(&room("hall")).await.err();
    assert!(matches!(unreadable, Some(StoreError::Broken(_))), "{unreadable:?}");
    sqlx::query("ALTER TABLE registry RENAME TO elsewhere").execute(&mut aside).await.unwrap();
    let away = registry.load(&room("hall")).await.err();
    assert!(matches!(away, Some(StoreError::Unavailable(_))), "{away:?}");
}
