//! The floor: what a purchase writes, and what it has to read for that, as plain transactions.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use kernel::reservation::concert::rows_of_seats;
use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tokio::task::JoinSet;

/// Connections of one process of ours; see `backend::cluster::postgres::Options`.
const CONNECTIONS: u64 = 16;
const PRICE: i64 = 5_000;
/// About as large as what the shop writes there.
const EVENT: &str = r#"{"type":"PaymentCompleted","room":"hall","payment_id":"3c3f7d52-9d3c-4f0e-8a3e-6f9d2f3c1a77","reservation_id":"7b0f8e3c-1f64-4c57-9d3a-0a1b2c3d4e5f","performance_id":"c0-1","seat_id":"A1","number":1,"amount_minor":5000,"currency":"EUR"}"#;

enum Arg {
    Text(String),
    Int(i64),
    Bytes(Vec<u8>),
}

type Statement = (&'static str, Vec<Arg>);

fn text(text: impl Into<String>) -> Arg {
    Arg::Text(text.into())
}

/// Everything that both transactions have besides.
struct Purchase {
    id: String,
    sub: String,
    number: i64,
    performance: String,
    seat: String,
    place: i64,
}

impl Purchase {
    fn of(round: u64, each: u64, nth: u64, seats: &[String]) -> anyhow::Result<Self> {
        let number = round * each + nth + 1;
        let seat = seats.get(usize::try_from(nth)?).context("a seat")?.clone();
        Ok(Self {
            id: number.to_string(),
            sub: format!("t:{number}"),
            number: i64::try_from(number)?,
            performance: format!("c{round}-1"),
            seat,
            place: i64::try_from(nth)?,
        })
    }

    fn key_is_new(&self, operation: &str) -> Statement {
        let sql = "SELECT body, answer FROM call_keys WHERE room = $1 AND sub = $2 AND operation = $3 AND call_key = $4";
        (sql, vec![text("hall"), text(&self.sub), text(operation), text(&self.id)])
    }

    fn key_is_kept(&self, operation: &str) -> Statement {
        let sql = "INSERT INTO call_keys (room, sub, operation, call_key, body, answer, made_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let body = Arg::Bytes(vec![7; 16]);
        (
            sql,
            vec![
                text("hall"),
                text(&self.sub),
                text(operation),
                text(&self.id),
                body,
                text(EVENT),
                Arg::Int(1),
            ],
        )
    }

    fn slot_is_open(&self) -> [Statement; 2] {
        let slot = || vec![text("hall"), Arg::Int(self.number)];
        [
            ("SELECT 1 FROM ended_slots WHERE room = $1 AND number = $2", slot()),
            (
                "SELECT reservation_id FROM reservations WHERE room = $1 AND number = $2 AND state = 'held'",
                slot(),
            ),
        ]
    }

    fn told(&self, what: &str) -> Statement {
        let sql = "INSERT INTO outbox (event_id, room, event, made_at) VALUES ($1, $2, $3, $4)";
        (sql, vec![text(format!("{}.{what}", self.id)), text("hall"), text(EVENT), Arg::Int(1)])
    }

    fn hold(&self) -> Vec<Statement> {
        let mut all = vec![self.key_is_new("hold")];
        all.extend(self.slot_is_open());
        all.push((
            "SELECT place, amount_minor FROM seats WHERE performance_id = $1 AND seat_id = $2",
            vec![text(&self.performance), text(&self.seat)],
        ));
        all.push((
            "SELECT reservation_id FROM reservations WHERE performance_id = $1 AND place = $2 AND state IN ('held', 'confirmed')",
            vec![text(&self.performance), Arg::Int(self.place)],
        ));
        all.push((
            "INSERT INTO reservations (reservation_id, room, sub, number, performance_id, place, seat_id, amount_minor, currency, state, expires_at, made_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'EUR', 'held', $9, $10)",
            vec![
                text(format!("r-{}", self.id)), text("hall"), text(&self.sub), Arg::Int(self.number),
                text(&self.performance), Arg::Int(self.place), text(&self.seat), Arg::Int(PRICE),
                Arg::Int(4_000_000_000_000), Arg::Int(1),
            ],
        ));
        all.push(self.told("held"));
        all.push(self.key_is_kept("hold"));
        all
    }

    fn pay(&self) -> Vec<Statement> {
        let reservation = || text(format!("r-{}", self.id));
        let mut all = vec![self.key_is_new("pay")];
        all.extend(self.slot_is_open());
        all.push(("SELECT state FROM reservations WHERE reservation_id = $1", vec![reservation()]));
        all.push((
            "SELECT amount_minor FROM balances WHERE room = $1 AND sub = $2",
            vec![text("hall"), text(&self.sub)],
        ));
        all.push((
            "INSERT INTO payments (payment_id, room, sub, number, reservation_id, performance_id, seat_id, amount_minor, currency, state, made_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'EUR', 'completed', $9)",
            vec![
                text(format!("p-{}", self.id)), text("hall"), text(&self.sub), Arg::Int(self.number), reservation(),
                text(&self.performance), text(&self.seat), Arg::Int(PRICE), Arg::Int(1),
            ],
        ));
        all.push((
            "INSERT INTO ledger (room, sub, amount_minor, kind, reference, made_at) VALUES ($1, $2, $3, 'payment', $4, $5)",
            vec![text("hall"), text(&self.sub), Arg::Int(-PRICE), text(format!("p-{}", self.id)), Arg::Int(1)],
        ));
        all.push((
            "UPDATE balances SET amount_minor = amount_minor - $1 WHERE room = $2 AND sub = $3",
            vec![Arg::Int(PRICE), text("hall"), text(&self.sub)],
        ));
        all.push(self.told("completed"));
        all.push((
            "UPDATE reservations SET state = 'confirmed', expires_at = NULL, payment_id = $1 WHERE reservation_id = $2",
            vec![text(format!("p-{}", self.id)), reservation()],
        ));
        all.push(self.told("confirmed"));
        all.push((
            "INSERT INTO ended_slots (room, number, ended_at) VALUES ($1, $2, $3)",
            vec![text("hall"), Arg::Int(self.number), Arg::Int(1)],
        ));
        all.push(self.key_is_kept("pay"));
        all
    }
}

fn seats(count: u64) -> anyhow::Result<Vec<String>> {
    Ok(rows_of_seats(usize::try_from(count)?, PRICE).into_iter().map(|seat| seat.seat_id).collect())
}

pub struct BareSqlite {
    file: Connection,
}

impl BareSqlite {
    /// The shop's file in a directory, set as the shop sets it.
    pub fn open(directory: &Path) -> anyhow::Result<Self> {
        let file = Connection::open(directory.join("shop.db"))?;
        file.busy_timeout(Duration::from_secs(10))?;
        file.pragma_update(None, "synchronous", "FULL")?;
        file.pragma_update(None, "foreign_keys", true)?;
        file.set_prepared_statement_cache_capacity(128);
        Ok(Self { file })
    }

    /// Purchases a second, one after the other.
    pub fn purchases(&self, round: u64, count: u64) -> anyhow::Result<f64> {
        let (seats, began) = (seats(count)?, Instant::now());
        for nth in 0..count {
            let purchase = Purchase::of(round, count, nth, &seats)?;
            for transaction in [purchase.hold(), purchase.pay()] {
                self.file.execute_batch("BEGIN IMMEDIATE")?;
                for (sql, args) in transaction {
                    self.run(sql, args)?;
                }
                self.file.execute_batch("COMMIT")?;
            }
        }
        Ok(count as f64 / began.elapsed().as_secs_f64())
    }

    fn run(&self, sql: &str, args: Vec<Arg>) -> anyhow::Result<()> {
        let cells = args.into_iter().map(|arg| match arg {
            Arg::Text(text) => Cell::Text(text),
            Arg::Int(int) => Cell::Integer(int),
            Arg::Bytes(bytes) => Cell::Blob(bytes),
        });
        let mut statement = self.file.prepare_cached(sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(cells))?;
        while rows.next()?.is_some() {}
        Ok(())
    }
}

pub struct BarePostgres {
    to: PgConnectOptions,
}

impl BarePostgres {
    pub async fn connect(url: &str, schema: &str) -> anyhow::Result<Self> {
        let to: PgConnectOptions = url.parse()?;
        Ok(Self { to: to.options([("search_path", schema)]) })
    }

    /// Purchases a second, over as many connections as the shop has.
    pub async fn purchases(&self, round: u64, count: u64) -> anyhow::Result<f64> {
        let seats = seats(count)?;
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(PgConnection::connect_with(&self.to).await?);
        }
        let began = Instant::now();
        let mut loops = JoinSet::new();
        for (first, mut db) in (0..CONNECTIONS).zip(connections) {
            let seats = seats.clone();
            loops.spawn(async move {
                for nth in (first..count).step_by(usize::try_from(CONNECTIONS)?) {
                    let purchase = Purchase::of(round, count, nth, &seats)?;
                    for transaction in [purchase.hold(), purchase.pay()] {
                        let mut open = db.begin().await?;
                        for (sql, args) in transaction {
                            run(&mut open, sql, args).await?;
                        }
                        open.commit().await?;
                    }
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = loops.join_next().await {
            done??;
        }
        Ok(count as f64 / began.elapsed().as_secs_f64())
    }
}

async fn run(db: &mut PgConnection, sql: &'static str, args: Vec<Arg>) -> anyhow::Result<()> {
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for arg in args {
        query = match arg {
            Arg::Text(text) => query.bind(text),
            Arg::Int(int) => query.bind(int),
            Arg::Bytes(bytes) => query.bind(bytes),
        };
    }
    for row in query.fetch_all(db).await? {
        // Read, as whoever decides has to.
        let _ = row.len();
    }
    Ok(())
}
