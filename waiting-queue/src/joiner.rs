//! Micro-batching: one store call serves all joins that arrived while the one before was under way.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use edge::Problem;
use kernel::ports::{Clock, JoinAnswer, RoomStore, StoreError};
use kernel::room::{Join, Joined};
use kernel::words::RoomId;
use tokio::sync::{mpsc, oneshot};

/// Joins in one store call at most.
const BATCH: usize = 1_000;
/// So many joins in one call are a rush.
const CROWD: usize = 8;
/// How long the next call waits for company in a rush.
const GATHER: Duration = Duration::from_millis(1);
/// Joins that may wait for the store before more are turned away.
const QUEUE: usize = 65_536;

type Answer = oneshot::Sender<Result<JoinAnswer, StoreError>>;

pub(crate) struct Joiner {
    store: Arc<dyn RoomStore>,
    clock: Arc<dyn Clock>,
    rooms: DashMap<RoomId, mpsc::Sender<(Join, Answer)>>,
}

impl Joiner {
    pub fn new(store: Arc<dyn RoomStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, rooms: DashMap::new() }
    }

    pub async fn join(&self, room: &RoomId, join: Join) -> Result<JoinAnswer, Problem> {
        let (answer, answered) = oneshot::channel();
        self.desk(room).try_send((join, answer)).map_err(|_| Problem::unavailable())?;
        Ok(answered.await.map_err(|_| Problem::unavailable())??)
    }

    /// The room's own batching task; made with its first join.
    fn desk(&self, room: &RoomId) -> mpsc::Sender<(Join, Answer)> {
        if let Some(desk) = self.rooms.get(room)
            && !desk.is_closed()
        {
            return desk.clone();
        }
        let start = || {
            let (sender, receiver) = mpsc::channel(QUEUE);
            tokio::spawn(serve(room.clone(), self.store.clone(), self.clock.clone(), receiver));
            sender
        };
        let mut desk = self.rooms.entry(room.clone()).or_insert_with(start);
        if desk.is_closed() {
            *desk = start();
        }
        desk.clone()
    }
}

async fn serve(
    room: RoomId,
    store: Arc<dyn RoomStore>,
    clock: Arc<dyn Clock>,
    mut wishes: mpsc::Receiver<(Join, Answer)>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut crowded = false;
    while wishes.recv_many(&mut batch, BATCH).await > 0 {
        // In a rush a moment's wait makes fewer, larger calls; alone nobody waits.
        if crowded && batch.len() < BATCH {
            tokio::time::sleep(GATHER).await;
            while batch.len() < BATCH
                && let Ok(wish) = wishes.try_recv()
            {
                batch.push(wish);
            }
        }
        crowded = batch.len() >= CROWD;
        let (joins, answers): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        metrics::histogram!("turnline_join_batch_size").record(joins.len() as f64);
        match store.join(&room, joins, clock.now()).await {
            Ok(joined) => {
                count(&joined);
                for (answer, joined) in answers.into_iter().zip(joined) {
                    // A caller who hung up keeps the place: the idempotency key finds it again.
                    let _ = answer.send(Ok(joined));
                }
            }
            Err(error) => answers.into_iter().for_each(|answer| drop(answer.send(Err(error.clone())))),
        }
    }
}

fn count(answers: &[JoinAnswer]) {
    let new = answers.iter().filter(|answer| matches!(answer.joined, Joined::New(_))).count() as u64;
    let held = answers.iter().filter(|answer| matches!(answer.joined, Joined::Held(_))).count() as u64;
    metrics::counter!("turnline_joins_total", "answer" => "new").increment(new);
    metrics::counter!("turnline_joins_total", "answer" => "held").increment(held);
}
