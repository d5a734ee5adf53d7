//! Lists of seats and of dates a second over HTTP, with a million reservations stored.

use rusqlite::Connection;
use serde_json::{Value, json};
use turnline_tests::Server;

use crate::wrk::{self, CONNECTIONS, SECONDS};

const ROUNDS: usize = 3;
const CONCERTS: u64 = 10;
const PERFORMANCES: u64 = 100;
const SEATS: u64 = 1_000;

pub async fn measure() -> anyhow::Result<Value> {
    let mut server = Server::start(&["--demo"]).await;
    server.terminate().await;
    let file = server.data_dir().join("shop.db");
    eprintln!("storing {} reservations", CONCERTS * PERFORMANCES * SEATS);
    tokio::task::spawn_blocking(move || fill(&Connection::open(file)?)).await??;
    server.restart().await;
    let seats: Vec<String> = (0..CONCERTS)
        .flat_map(|concert| {
            (0..PERFORMANCES).map(move |at| format!("/v1/performances/b{concert}-{at}/seats?limit=50"))
        })
        .collect();
    let dates: Vec<String> =
        (0..CONCERTS).map(|concert| format!("/v1/concerts/b{concert}/dates?limit=50")).collect();
    let (mut of_seats, mut of_dates) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        of_seats.push(wrk::gets(server.url(), &seats).await?);
        of_dates.push(wrk::gets(server.url(), &dates).await?);
        eprintln!(
            "round {}: {:.0} lists of seats/s, {:.0} lists of dates/s",
            round + 1,
            of_seats[round].requests_per_second,
            of_dates[round].requests_per_second
        );
    }
    Ok(json!({
        "how": format!("wrk, 1 thread, {CONNECTIONS} connections, {SECONDS} s a run, {ROUNDS} rounds, the one in the middle; {} performances of {SEATS} sold seats each asked for in turns, 50 items a list", CONCERTS * PERFORMANCES),
        "seats": wrk::middle(&of_seats), "dates": wrk::middle(&of_dates),
    }))
}

/// Every seat of every performance is sold.
fn fill(file: &Connection) -> anyhow::Result<()> {
    let numbers = |count: u64| {
        format!("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {})", count - 1)
    };
    file.execute_batch(&format!(
        "BEGIN;
         {concerts} INSERT INTO concerts (concert_id, title, room, currency, definition, added_at)
             SELECT 'b' || i, 'An evening', 'demo', 'EUR', x'00', 1 FROM n;
         {performances} INSERT INTO performances (performance_id, concert_id, place, starts_at, seats)
             SELECT concert_id || '-' || i, concert_id, i, 4000000000000 + i, {SEATS} FROM concerts, n WHERE concert_id LIKE 'b%';
         {seats} INSERT INTO seats (performance_id, place, seat_id, label, amount_minor)
             SELECT performance_id, i, 'S' || i, 'Seat ' || i, 5000 FROM performances, n WHERE performance_id LIKE 'b%';
         INSERT INTO reservations (reservation_id, room, sub, number, performance_id, place, seat_id, amount_minor,
                                   currency, state, payment_id, made_at)
             SELECT performance_id || '/' || place, 'demo', 't:' || rowid, place + 1, performance_id, place, seat_id,
                    amount_minor, 'EUR', 'confirmed', 'p', 1 FROM (SELECT *, place AS rowid FROM seats WHERE performance_id LIKE 'b%');
         COMMIT; ANALYZE;",
        concerts = numbers(CONCERTS),
        performances = numbers(PERFORMANCES),
        seats = numbers(SEATS),
    ))?;
    Ok(())
}
