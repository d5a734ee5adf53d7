//! Every endpoint refuses wrong input as the contract says: each field wrong one at a time, each
//! credential wrong one at a time. And a storm of it loses nothing: places, seats and money stay.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod bodies;
mod callers;
mod endpoints;
mod replays;
mod scene;
mod sockets;
mod unknown;

use scene::Scene;
use turnline_tests::Call;

/// A wrong request and what it must be answered with.
pub struct Wrong {
    pub what: String,
    pub call: Call,
    /// Any of these; where the contract leaves one choice, there is one.
    pub statuses: &'static [u16],
    /// Any of these; empty when the contract names none.
    pub codes: &'static [&'static str],
}

/// Sends every request, then shows every answer that was not the one expected.
pub async fn refuse_all(wrongs: Vec<Wrong>) {
    let count = wrongs.len();
    assert!(count > 0, "the table is empty");
    let mut faults = Vec::new();
    for Wrong { what, call, statuses, codes } in wrongs {
        let answer = call.send().await;
        let status = if statuses.contains(&answer.status) { answer.status } else { statuses[0] };
        if let Err(fault) = answer.problem_fault(status, codes) {
            faults.push(format!("{what}: {fault}"));
        }
    }
    assert!(faults.is_empty(), "{} of {count} wrong requests:\n  {}\n", faults.len(), faults.join("\n  "));
    println!("{count} wrong requests refused as they should be");
}

#[tokio::test]
async fn bodies_with_one_thing_wrong_are_refused() {
    let scene = Scene::set().await;
    let before = scene.all_there_is_to_lose().await;
    refuse_all(bodies::all(&scene)).await;
    assert_eq!(scene.all_there_is_to_lose().await, before, "wrong bodies changed something");
}

#[tokio::test]
async fn callers_with_one_thing_wrong_are_refused() {
    let scene = Scene::set().await;
    let foreign = Scene::set().await;
    let wrongs = callers::all(&scene, &foreign).await;
    let before = scene.all_there_is_to_lose().await;
    refuse_all(wrongs).await;
    assert_eq!(scene.all_there_is_to_lose().await, before, "wrong callers changed something");
}

#[tokio::test]
async fn unknown_ids_and_wrong_methods_are_refused() {
    let scene = Scene::set().await;
    let before = scene.all_there_is_to_lose().await;
    refuse_all(unknown::ids(&scene)).await;
    refuse_all(unknown::methods(&scene)).await;
    refuse_all(unknown::queries(&scene)).await;
    assert_eq!(scene.all_there_is_to_lose().await, before, "unknown ids changed something");
}

#[tokio::test]
async fn idempotency_keys_are_refused_or_remembered() {
    let scene = Scene::set().await;
    refuse_all(replays::wrong_keys(&scene)).await;
    replays::a_charge_counts_once(&scene).await;
    replays::a_reservation_counts_once(&scene).await;
    replays::a_payment_counts_once(&scene).await;
}

#[tokio::test]
async fn sockets_refuse_what_they_do_not_know() {
    let scene = Scene::set().await;
    let before = scene.all_there_is_to_lose().await;
    sockets::refused_before_the_upgrade(&scene).await;
    sockets::closed_on_a_wrong_message(&scene).await;
    assert_eq!(scene.all_there_is_to_lose().await, before, "wrong messages changed something");
}
