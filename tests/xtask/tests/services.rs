//! Real Redis, Kafka and PostgreSQL: they answer once started, keep what they acknowledged through `kill -9`, come
//! back on the same port, and are gone with their value.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::services::{self, Service, Services};

/// A folder in the system's temporary one, removed with this value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("xtask-services-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nobody is told when it fails: a failed test is the better message.
        let _ = services::remove(&self.0);
    }
}

fn redis_says(redis: &Service, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.strip_suffix("+OK\r\n").expect("a goodbye").trim_end().to_owned()
}

fn postgres_says(postgres: &Service, query: &str) -> String {
    let psql = xtask::machine::program(&xtask::machine::PSQL).expect("psql");
    let said = Command::new(psql).args([&postgres.url(), "-XAtqc", query]).output().unwrap();
    assert!(said.status.success(), "{query}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).trim().to_owned()
}

fn lives(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

#[test]
fn the_three_answer_and_keep_their_data_through_kill_9() {
    let folder = Folder::new("three");
    let mut all = Services::start(&folder.0).unwrap();
    let env = all.env();
    assert_eq!(env[0], ("TURNLINE_REDIS", format!("redis://127.0.0.1:{}", all.redis.port())));
    assert_eq!(env[1], ("TURNLINE_KAFKA", format!("127.0.0.1:{}", all.kafka.port())));
    assert!(env[2].1.ends_with(&format!("@127.0.0.1:{}/turnline", all.postgres.port())), "{env:?}");

    assert_eq!(redis_says(&all.redis, "SET place 7"), "+OK");
    assert!(redis_says(&all.redis, "CONFIG GET appendfsync").contains("always"));
    assert!(redis_says(&all.redis, "CONFIG GET save").ends_with("$0"));
    assert_eq!(postgres_says(&all.postgres, "show max_connections"), "300");
    postgres_says(
        &all.postgres,
        "create schema shop; create table shop.t (n int); insert into shop.t values (7)",
    );
    assert_eq!(
        postgres_says(&all.postgres, "select rolsuper from pg_roles where rolname = current_user"),
        "f"
    );

    for service in [&mut all.redis, &mut all.kafka, &mut all.postgres] {
        let (pid, port) = (service.pid().unwrap(), service.port());
        service.kill_9().unwrap();
        assert!(!lives(pid) && !service.answers() && service.pid().is_none(), "{}", service.name());
        service.restart().unwrap();
        assert!(
            service.answers() && service.port() == port && service.pid() != Some(pid),
            "{}",
            service.name()
        );
    }
    assert_eq!(redis_says(&all.redis, "GET place"), "$1\r\n7");
    assert_eq!(postgres_says(&all.postgres, "select n from shop.t"), "7");

    all.stop().unwrap();
    all.postgres.restart().unwrap();
    assert_eq!(postgres_says(&all.postgres, "select n from shop.t"), "7");
}

#[test]
fn a_dropped_service_is_gone_and_others_are_left_alone() {
    let (one, other) = (Folder::new("one"), Folder::new("other"));
    let dropped = Service::redis(&one.0).unwrap();
    let kept = Service::redis(&other.0).unwrap();
    let pid = dropped.pid().unwrap();
    assert_ne!(dropped.port(), kept.port());
    drop(dropped);
    assert!(!lives(pid));
    assert!(kept.answers());
}

#[test]
fn a_start_that_fails_shows_the_log() {
    let folder = Folder::new("broken");
    let data = folder.0.join("redis/appendonlydir");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("appendonly.aof.manifest"), "not a manifest\n").unwrap();
    let error = format!("{:#}", Service::redis(&folder.0).err().expect("Redis refuses that file"));
    assert!(error.contains("redis did not start") && error.contains("redis.log"), "{error}");
    assert!(error.to_lowercase().contains("manifest"), "the log's own words are missing: {error}");
}

#[test]
fn a_folder_that_only_its_owner_may_enter_will_do() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("closed");
    std::fs::set_permissions(&folder.0, std::fs::Permissions::from_mode(0o700)).unwrap();
    let inner = folder.0.join("inner");
    let postgres = Service::postgres(&inner).unwrap();
    assert_eq!(postgres_says(&postgres, "select 1 + 1"), "2");
    drop(postgres);
    let data = inner.join("postgres").canonicalize().unwrap();
    services::remove(&inner).unwrap();
    assert!(!data.exists() && !Path::new(&inner).exists());
}
