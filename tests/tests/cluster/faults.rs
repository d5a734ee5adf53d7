//! A sale with every fault in turn: a process of each service is killed, each server is restarted, and Redis is
//! emptied while Kafka is away. Everyone who stays gets in, nobody twice, and everything is paid for once.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::block_in_place;
use turnline_tests::cluster::REPLICAS;
use turnline_tests::{Cluster, Crowd, Demo, Role, Visitor, eventually};
use xtask::services::Services;

use crate::story::Story;

const ROOM: &str = "sale";
const VISITORS: u64 = 800;
const CAPACITY: u64 = 20;
/// While faults last, so that the sale lasts longer than they do.
const PACE_PER_MINUTE: u64 = 300;
/// So many seats have to be sold after a fault before the next comes: the system is at work again.
const AT_WORK: u64 = 10;
/// How long the cluster may take to be at work again.
const RECOVERY: Duration = Duration::from_secs(60);
/// Visitors of the test's own: those whose places are in Kafka when Redis is emptied, and those whose are not.
const TOLD: usize = 8;
const UNTOLD: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_buys_through_every_fault_and_no_rule_is_broken() {
    let mut scene = Scene::set().await;
    for (at, role) in Role::ALL.into_iter().enumerate() {
        let index = at % REPLICAS;
        scene.cluster.kill_9(role, index).await;
        scene.at_work(&format!("{} {index} was killed", role.name())).await;
        scene.cluster.restart(role, index).await;
    }
    // As in an update: one after the other is told to stop, and nobody notices.
    for (at, role) in Role::ALL.into_iter().enumerate() {
        let index = (at + 1) % REPLICAS;
        let ended = scene.cluster.terminate(role, index).await;
        assert!(ended.success(), "the drain of {} {index} ended with {ended}", role.name());
        scene.cluster.restart(role, index).await;
    }
    scene.at_work("the other half was told to stop").await;
    scene.with(|servers| servers.postgres.restart());
    scene.at_work("PostgreSQL was restarted").await;
    scene.with(|servers| servers.redis.restart());
    scene.at_work("Redis was restarted").await;
    scene.with(|servers| servers.redis.kill_9().and_then(|()| servers.redis.restart()));
    scene.at_work("Redis was killed").await;
    scene.with(|servers| servers.kafka.restart());
    scene.at_work("Kafka was restarted").await;

    let own = scene.redis_is_emptied_while_kafka_is_away().await;
    scene.at_work("Redis was emptied").await;
    // The faults are over: whoever is still there comes in as fast as slots come free.
    scene.cluster.room(ROOM, &json!({ "capacity": CAPACITY, "grace_seconds": 120 })).await;
    for visitor in &own {
        scene.cluster.until_state_within(visitor, "active", RECOVERY).await;
        scene.cluster.leave(visitor).await.expect(204);
    }
    let verdict = scene.crowd.ends_well().await;
    println!("{}\n{}", scene.diary.join("\n"), verdict.said);
    scene.everything_happened_once(own.len()).await;
}

/// The cluster, the crowd in it, and what happened so far.
struct Scene {
    cluster: Cluster,
    crowd: Crowd,
    demo: Demo,
    began: Instant,
    diary: Vec<String>,
}

impl Scene {
    async fn set() -> Scene {
        let cluster = Cluster::start_on_own_servers().await;
        let slowly =
            json!({ "capacity": CAPACITY, "admit_per_minute": PACE_PER_MINUTE, "grace_seconds": 120 });
        cluster.room(ROOM, &slowly).await;
        cluster.concert(ROOM, VISITORS).await;
        let demo = Demo::of(&cluster).await;
        let crowd = Crowd::send(&cluster, ROOM, VISITORS, &["--buy", "--arrivals", "ramp:40"]);
        let mut scene = Scene { cluster, crowd, demo, began: Instant::now(), diary: Vec::new() };
        scene.at_work("the crowd came").await;
        scene
    }

    /// Does something to the servers.
    fn with<E: Debug>(&mut self, what: impl FnOnce(&mut Services) -> Result<(), E>) {
        block_in_place(|| what(self.cluster.servers())).expect("a server does as it is told");
    }

    /// Waits until seats are being sold again.
    async fn at_work(&mut self, after: &str) {
        let before = self.sold().await;
        let since = self.began.elapsed();
        let mut now = before;
        let (demo, cluster) = (&self.demo, &self.cluster);
        self.crowd
            .until_within(
                RECOVERY,
                &format!("{AT_WORK} more seats than {before} are sold: {after}"),
                async || {
                    now = sold(cluster, demo).await.unwrap_or(now);
                    now >= before + AT_WORK
                },
            )
            .await;
        let took = self.began.elapsed() - since;
        let since = since.as_secs_f64();
        self.diary.push(format!("{since:6.1} s  {after}: {before} seats were sold, {now} after {took:.1?}"));
    }

    async fn sold(&self) -> u64 {
        eventually("the list of seats is answered", RECOVERY, async || sold(&self.cluster, &self.demo).await)
            .await
    }

    /// Joins go on, Redis forgets everything, and Kafka comes back: every place is as it was. Answers those who
    /// joined for this.
    async fn redis_is_emptied_while_kafka_is_away(&mut self) -> Vec<Visitor> {
        let (cluster, demo) = (&mut self.cluster, &self.demo);
        let mut own = Vec::new();
        for _ in 0..TOLD {
            own.push(cluster.join(ROOM).await);
        }
        // Nobody moves up any more, so that places can be compared; and nobody of the crowd is still to come, as
        // only a ticket brings back what Kafka did not know, not the key under which it was given.
        cluster.tell(ROOM, "pause").await;
        eventually("all of the crowd have joined, and those inside have bought", RECOVERY, async || {
            let room = cluster.get(&format!("/v1/rooms/{ROOM}")).send().await.expect(200);
            let joined = room.number_of("waiting") as u64 + sold(cluster, demo).await?;
            (room.number_of("active") == 0 && joined >= VISITORS + TOLD as u64).then_some(())
        })
        .await;
        let addresses = cluster.addresses().clone();
        Story::read(&addresses, ROOM, |story| own.iter().all(|own| story.has_joined(own.number as u64)))
            .await;
        let before = places(cluster, &own).await;
        block_in_place(|| cluster.servers().kafka.kill_9()).expect("Kafka is killed");
        for _ in 0..UNTOLD {
            own.push(cluster.join(ROOM).await);
        }
        cluster.empty_redis();
        block_in_place(|| cluster.servers().kafka.restart()).expect("Kafka comes back");
        let after = places(cluster, &own[..TOLD]).await;
        assert_eq!(after, before, "places of those whose joining Kafka knew");
        let next = eventually("somebody joins the room as it came back", RECOVERY, async || {
            let answer = cluster.joining(ROOM).json(&json!({})).send().await;
            (answer.status != 503).then(|| cluster.visitor(ROOM, &answer.expect(201)))
        })
        .await;
        assert!(own.iter().all(|own| own.number < next.number), "{next:?} came after {own:?}");
        for visitor in &own[TOLD..] {
            let [number, _] = place(cluster, visitor).await;
            assert_eq!(number, visitor.number, "the number on a ticket that only its visitor knew");
        }
        own.push(next);
        cluster.tell(ROOM, "resume").await;
        own
    }

    /// The room is at rest, and Kafka tells that everything happened, and once.
    async fn everything_happened_once(&self, own: usize) {
        eventually("nobody is inside, and nobody waits", RECOVERY, async || {
            let room = self.cluster.get(&format!("/v1/rooms/{ROOM}")).send().await.expect(200);
            (room.number_of("active") == 0 && room.number_of("waiting") == 0).then_some(())
        })
        .await;
        assert_eq!(self.sold().await, VISITORS);
        let ended = VISITORS + own as u64;
        let whole =
            |story: &Story| story.releases().count() as u64 >= ended && story.paid().len() as u64 >= VISITORS;
        let story = Story::read(self.cluster.addresses(), ROOM, whole).await;
        println!("Kafka: {}", story.summary());
        assert_eq!(story.rebuilds(), 1, "the room was made anew once");
        story.is_gapless();
        story.no_number_twice();
        story.nobody_ended_twice();
        story.never_more_inside_than(CAPACITY as usize);
        story.every_payment_freed_its_slot();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.diary.join("\n"));
        }
    }
}

/// Number and position of each.
async fn places(cluster: &Cluster, visitors: &[Visitor]) -> Vec<[i64; 2]> {
    let mut places = Vec::new();
    for visitor in visitors {
        places.push(place(cluster, visitor).await);
    }
    places
}

/// As soon as it can be told again.
async fn place(cluster: &Cluster, visitor: &Visitor) -> [i64; 2] {
    let what = format!("number {} is told its place", visitor.number);
    eventually(&what, RECOVERY, async || {
        let call = cluster.get(&format!("/v1/rooms/{ROOM}/tickets/me")).bearer(&visitor.ticket);
        let answer = call.try_send().await.ok().filter(|answer| answer.status != 503)?.expect(200);
        assert_eq!(answer.json["state"], "waiting", "{}", answer.text);
        Some([answer.number_of("number"), answer.number_of("position")])
    })
    .await
}

/// How many seats are sold; none while the list is not answered.
async fn sold(cluster: &Cluster, demo: &Demo) -> Option<u64> {
    let (mut sold, mut query) = (0, String::new());
    loop {
        let page = cluster.get(&format!("{}{query}", demo.seats_path())).try_send().await.ok()?;
        if page.status == 503 {
            return None;
        }
        let page = page.expect(200);
        sold += page.items().iter().filter(|seat| seat["state"] == "sold").count() as u64;
        match page.json["next"].as_str() {
            Some(next) => query = format!("?cursor={next}"),
            None => return Some(sold),
        }
    }
}
