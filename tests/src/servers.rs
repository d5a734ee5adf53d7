//! Redis, Kafka and PostgreSQL: where a Turnline of a test finds them, and what keeps it apart from others there.

use xtask::services::Services;

use crate::fresh_key;

/// Says where the Turnlines of [`crate::Server`] keep their state: `files` (unset means this too) or `servers`.
const TEST_ON: &str = "TURNLINE_TEST_ON";

/// Where the servers are, and the namespace of one Turnline on them.
#[derive(Debug, Clone)]
pub struct Addresses {
    pub redis: String,
    pub kafka: String,
    pub database: String,
    pub namespace: String,
}

impl Addresses {
    /// The servers that the tests share, and a namespace that nobody else has.
    pub fn shared() -> Addresses {
        let address = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| {
                panic!(
                    "{name} is not set; run `eval \"$(cargo xtask services start)\"`, or `cargo xtask test`"
                )
            })
        };
        Addresses {
            redis: address("TURNLINE_REDIS"),
            kafka: address("TURNLINE_KAFKA"),
            database: address("TURNLINE_DATABASE"),
            namespace: format!("test-{}", fresh_key()),
        }
    }

    /// Servers of a test's own, where no namespace is needed.
    pub fn of(servers: &Services) -> Addresses {
        Addresses {
            redis: servers.redis.url(),
            kafka: servers.kafka.url(),
            database: servers.postgres.url(),
            namespace: String::new(),
        }
    }

    /// [`Addresses::shared`] if this run of the tests is to be on servers.
    pub fn if_wanted() -> Option<Addresses> {
        match std::env::var(TEST_ON).as_deref() {
            Ok("servers") => Some(Addresses::shared()),
            Ok("files") | Err(_) => None,
            Ok(other) => panic!("{TEST_ON} is {other:?}; write `files` or `servers`"),
        }
    }

    /// As `up` and `serve` take them.
    pub fn args(&self) -> [&str; 8] {
        [
            "--redis",
            &self.redis,
            "--kafka",
            &self.kafka,
            "--database",
            &self.database,
            "--namespace",
            &self.namespace,
        ]
    }
}
