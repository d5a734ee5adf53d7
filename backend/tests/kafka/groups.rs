//! Groups: their members share the work, come and go in the middle of it, and nothing is lost.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backend::cluster::kafka::KafkaLog;
use kernel::contract::log::{departed, hear, ids, subscription};
use kernel::event::Topic;
use kernel::ports::{Consumer, EventLog, StartAt};
use kernel::words::RoomId;

use crate::scene::{DEADLINE, Scene};

fn room(number: u64) -> RoomId {
    RoomId::parse(&format!("room-{number}")).unwrap()
}

async fn join(log: &KafkaLog) -> Box<dyn Consumer> {
    log.subscribe(subscription("g", &[Topic::WaitingTokens], StartAt::Committed)).await.unwrap()
}

/// Who heard what.
type Heard = Arc<Mutex<HashMap<String, Vec<&'static str>>>>;

/// A member that works like a service: effect first, commit after, until it is told to stop.
fn work(
    log: KafkaLog,
    name: &'static str,
    heard: Heard,
    stop: Arc<AtomicBool>,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut consumer = join(&log).await;
        while !stop.load(Ordering::SeqCst) {
            let taken = tokio::time::timeout(Duration::from_millis(100), consumer.next(16)).await;
            let Ok(batch) = taken else { continue };
            let batch = batch.unwrap();
            {
                let mut heard = heard.lock().unwrap();
                for delivery in &batch {
                    heard.entry(delivery.record.id.clone()).or_default().push(name);
                }
            }
            consumer.commit(batch.last().unwrap()).await.unwrap();
        }
    })
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "not in time: {what}");
        // sleep: the interval of a poll under a deadline
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_and_go_in_the_middle_and_nothing_is_lost() {
    let scene = Scene::fresh();
    let log = scene.connect().await;
    let heard = Heard::default();
    let (stop_first, stop_second) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let done = Arc::new(AtomicBool::new(false));
    let publishing = {
        let (log, done) = (log.clone(), done.clone());
        tokio::spawn(async move {
            let mut seq = 0;
            while !done.load(Ordering::SeqCst) {
                seq += 1;
                log.publish((0..20).map(|number| departed(&room(number), seq)).collect()).await.unwrap();
            }
            seq
        })
    };
    let by = |name: &'static str, least: usize| {
        let heard = heard.clone();
        move || heard.lock().unwrap().values().filter(|who| who.contains(&name)).count() >= least
    };
    // Another process each, with a producer and clients of its own.
    let first = work(scene.connect().await, "first", heard.clone(), stop_first.clone());
    until("the first hears", by("first", 200)).await;
    let second = work(scene.connect().await, "second", heard.clone(), stop_second.clone());
    until("the second takes part of the work", by("second", 200)).await;
    let so_far = heard.lock().unwrap().values().filter(|who| who.contains(&"first")).count();
    until("the first goes on beside it", by("first", so_far + 200)).await;
    stop_first.store(true, Ordering::SeqCst);
    first.await.unwrap();
    let third = work(scene.connect().await, "third", heard.clone(), stop_second.clone());
    until("the third takes part of the work", by("third", 200)).await;
    done.store(true, Ordering::SeqCst);
    let last = publishing.await.unwrap();
    let all: HashSet<String> =
        (1..=last).flat_map(|seq| (0..20).map(move |number| format!("room-{number}.{seq}"))).collect();
    until("everything that was published was heard", || heard.lock().unwrap().len() == all.len()).await;
    stop_second.store(true, Ordering::SeqCst);
    second.await.unwrap();
    third.await.unwrap();
    let heard = heard.lock().unwrap();
    assert!(all.iter().all(|id| heard.contains_key(id)));
    let again = heard.values().filter(|who| who.len() > 1).count();
    assert!(again < all.len() / 2, "{again} of {} were heard twice", all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_committed_of_a_partition_that_leaves_comes_to_its_new_owner() {
    let scene = Scene::fresh();
    let log = scene.connect().await;
    let records: Vec<_> =
        (0..8).flat_map(|number| (1..=10).map(move |seq| departed(&room(number), seq))).collect();
    log.publish(records.clone()).await.unwrap();
    let mut first = join(&log).await;
    let heard = hear(first.as_mut(), ids(&records)).await;
    let mut second = join(&log).await;
    // While it waits for more, the first hands over some of its partitions; it had committed nothing.
    let waiting = tokio::spawn(async move {
        let more = first.next(1).await.unwrap();
        (first, more)
    });
    let taken = second.next(1000).await.unwrap();
    assert!(!taken.is_empty());
    log.publish((0..8).map(|number| departed(&room(number), 11)).collect()).await.unwrap();
    let (mut first, _) = waiting.await.unwrap();
    // What was the first's once is not its to commit any more: that is no error, and takes nothing from others.
    first.commit(heard.last().unwrap()).await.unwrap();
    drop((first, second));
    let mut third = join(&log).await;
    let again = hear(third.as_mut(), (0..8).map(|number| format!("room-{number}.11"))).await;
    let again: HashSet<_> = again.into_iter().map(|one| one.record.id.clone()).collect();
    for delivery in taken {
        assert!(again.contains(&delivery.record.id), "{} was lost", delivery.record.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_stuck_is_told_of_and_its_group_goes_on_without_it() {
    let mut scene = Scene::fresh();
    let patient = scene.connect().await;
    scene.config.busy_max = Duration::from_secs(6);
    let log = scene.connect().await;
    let records: Vec<_> = (1..=5).map(|seq| departed(&room(1), seq)).collect();
    log.publish(records.clone()).await.unwrap();
    let mut stuck = join(&log).await;
    let taken = hear(stuck.as_mut(), ids(&records)).await;
    log.answers().await.unwrap();

    // It is busy with what it took. Another member joins, and hears all of it.
    let mut other = join(&patient).await;
    hear(other.as_mut(), ids(&records)).await;
    let told = log.answers().await.unwrap_err().to_string();
    assert!(told.contains("g is stuck"), "{told}");
    patient.answers().await.expect("this process is well");

    // It comes back: what it did counts no more, and it takes part again.
    stuck.commit(taken.last().unwrap()).await.unwrap();
    drop(other);
    log.publish(vec![departed(&room(1), 6)]).await.unwrap();
    hear(stuck.as_mut(), ids(&[departed(&room(1), 6)])).await;
    let waiting = tokio::time::timeout(Duration::from_millis(1), stuck.next(1)).await;
    assert!(waiting.is_err(), "it has heard everything");
    log.answers().await.unwrap();
}
