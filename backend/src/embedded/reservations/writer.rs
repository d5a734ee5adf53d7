//! The shop's one writer: what arrives while the disk is busy goes into the next commit, each piece of work
//! under its own savepoint, and nobody hears an answer before it is on disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use kernel::ports::StoreError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::Fault;

/// Pieces of work in one commit at most, so that the first of them does not wait for ever.
const GROUP: usize = 512;
/// Pieces of work that may wait; beyond this the store says that it does not keep up.
const QUEUE: usize = 16_384;

/// Works in the open transaction; answers what to tell the caller, and whether the work is to be kept.
type Job = Box<dyn FnOnce(&Connection) -> (Reply, bool) + Send>;
/// Tells the caller; with an error when the commit failed.
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

enum Message {
    Job(Job),
    Close,
}

#[derive(Clone)]
pub(super) struct Writer {
    sender: SyncSender<Message>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Writer {
    pub fn start(connection: Connection) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("shop-writer".to_owned())
            .spawn(move || work(connection, &receiver))?;
        Ok(Self { sender, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Runs `work` in the writer's transaction; answers when it is on disk. An error undoes this work alone.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Whatever one caller's work stumbles over must not end the writer for everybody.
            let done = catch_unwind(AssertUnwindSafe(|| work(connection)))
                .unwrap_or_else(|_| Err(Fault::Broken("the work panicked".to_owned())));
            let kept = done.is_ok();
            let reply = move |committed: Result<(), StoreError>| {
                let told = done.map_err(StoreError::from).and_then(|done| committed.map(|()| done));
                // Nobody listens any more when the caller hung up; the work is done all the same.
                drop(answer.send(told));
            };
            (Box::new(reply), kept)
        });
        self.sender.try_send(Message::Job(job)).map_err(|refused| match refused {
            TrySendError::Full(_) => StoreError::Unavailable("too many writes wait".to_owned()),
            TrySendError::Disconnected(_) => closed(),
        })?;
        answered.await.map_err(|_| closed())?
    }

    /// Finishes what was sent and closes the file. Blocks.
    pub fn close(&self) {
        let _ = self.sender.send(Message::Close);
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the shop's writer ended in a panic; what was answered is on disk");
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the shop's file is closed".to_owned())
}

fn work(mut connection: Connection, receiver: &Receiver<Message>) {
    let mut open = true;
    while open {
        let mut jobs = Vec::new();
        let mut next = receiver.recv().ok();
        open = loop {
            match next {
                Some(Message::Job(job)) => jobs.push(job),
                Some(Message::Close) | None => break false,
            }
            if jobs.len() >= GROUP {
                break true;
            }
            match receiver.try_recv() {
                Ok(message) => next = Some(message),
                Err(_) => break true,
            }
        };
        commit(&mut connection, jobs);
    }
    if let Err(error) = connection.pragma_query(None, "wal_checkpoint", |_| Ok(())) {
        tracing::warn!(%error, "the shop's file was closed without a checkpoint");
    }
}

fn commit(connection: &mut Connection, jobs: Vec<Job>) {
    if jobs.is_empty() {
        return;
    }
    let count = jobs.len();
    let mut replies = Vec::with_capacity(count);
    let committed = group(connection, jobs, &mut replies).map_err(|error| {
        tracing::error!(%error, "the shop's file cannot be written; nothing of this group happened");
        StoreError::Unavailable(error.to_string())
    });
    metrics::histogram!("turnline_reservation_writes_per_commit").record(count as f64);
    // Jobs that never ran are dropped with their answers: their callers hear that the file is closed.
    replies.into_iter().for_each(|reply: Reply| reply(committed.clone()));
}

fn group(connection: &mut Connection, jobs: Vec<Job>, replies: &mut Vec<Reply>) -> rusqlite::Result<()> {
    let group = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for job in jobs {
        group.execute_batch("SAVEPOINT job")?;
        let (reply, kept) = job(&group);
        replies.push(reply);
        group.execute_batch(if kept { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" })?;
    }
    group.commit()
}
