//! One thread applies every change and commits them in groups: all that arrived while the disk was busy
//! goes into the next commit, and nobody hears an answer before it is on disk.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use kernel::ports::StoreError;
use tokio::sync::oneshot;

use super::OpenError;
use super::journal::Journal;
use super::log::Tail;
use super::world::World;

/// Jobs in one commit at most, so that the first of them does not wait for ever.
const GROUP: usize = 4_096;
/// Consumer offsets alone are no hurry: at worst an event comes twice.
const OFFSETS_WAIT: Duration = Duration::from_millis(200);
/// Pause before the disk is tried again.
const DISK_PAUSE: Duration = Duration::from_millis(500);

/// Works on the world and leaves what answers the caller once the work is on disk.
type Job = Box<dyn FnOnce(&mut World) -> Reply + Send>;
type Reply = Box<dyn FnOnce() + Send>;

enum Message {
    Job(Job),
    Close,
}

#[derive(Clone)]
pub(super) struct Writer {
    sender: Sender<Message>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    closing: Arc<AtomicBool>,
}

impl Writer {
    pub fn start(directory: &Path) -> Result<(Self, Arc<Tail>), OpenError> {
        let lock = File::create(directory.join("lock"))?;
        lock.try_lock().map_err(|_| OpenError::InUse(directory.display().to_string()))?;
        let journal = Journal::open(directory)?;
        let world = World::load(&journal)?;
        let tail = Arc::new(Tail::new(directory.to_path_buf(), world.last_offset()));
        let (sender, receiver) = channel();
        let closing = Arc::new(AtomicBool::new(false));
        let desk = Desk {
            directory: directory.to_path_buf(),
            journal,
            world,
            tail: tail.clone(),
            closing: closing.clone(),
            _lock: lock,
        };
        let thread =
            std::thread::Builder::new().name("room-writer".to_owned()).spawn(move || desk.work(&receiver))?;
        Ok((Self { sender, thread: Arc::new(Mutex::new(Some(thread))), closing }, tail))
    }

    /// Runs `work` in the writer's thread and answers when what it changed is on disk.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut World) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.send(move |world| {
            let done = work(world);
            Box::new(move || drop(answer.send(done)))
        });
        answered.await.map_err(|_| StoreError::Unavailable("the data directory cannot be written".to_owned()))
    }

    /// Runs `work` without waiting for the disk.
    pub fn note(&self, work: impl FnOnce(&mut World) + Send + 'static) {
        self.send(move |world| {
            work(world);
            Box::new(|| ())
        });
    }

    /// Finishes what was sent, writes snapshots, and ends the thread.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        let _ = self.sender.send(Message::Close);
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writer ended in a panic; the next start replays the log");
        }
    }

    fn send(&self, job: impl FnOnce(&mut World) -> Reply + Send + 'static) {
        // After a close the job is dropped, and with it the answer: the caller hears `Unavailable`.
        let _ = self.sender.send(Message::Job(Box::new(job)));
    }
}

/// What became of a group.
enum Committed {
    Yes,
    /// The rooms are again as they are on disk.
    No,
    /// The disk cannot even be read, and the process ends.
    Lost,
}

/// The writer thread's own.
struct Desk {
    directory: PathBuf,
    journal: Journal,
    world: World,
    tail: Arc<Tail>,
    /// A disk that cannot be read must not keep the process from ending.
    closing: Arc<AtomicBool>,
    /// Held as long as the thread lives: one process a directory.
    _lock: File,
}

impl Desk {
    fn work(mut self, receiver: &Receiver<Message>) {
        let mut open = true;
        while open {
            let (mut replies, mut whole) = (Vec::new(), true);
            open = self.take(receiver, &mut replies, &mut whole);
            if !whole {
                open = self.reload();
                continue;
            }
            self.world.snapshot(!open);
            let hurry = self.world.changes.urgent() || replies.is_empty() || !open;
            match if hurry { self.commit() } else { Committed::Yes } {
                Committed::Yes => replies.into_iter().for_each(|reply: Reply| reply()),
                Committed::No => {}
                Committed::Lost => open = false,
            }
        }
    }

    /// Works through what has arrived; false at the end. Not `whole` when a job broke off in the middle.
    fn take(&mut self, receiver: &Receiver<Message>, replies: &mut Vec<Reply>, whole: &mut bool) -> bool {
        let mut next = match receiver.recv_timeout(OFFSETS_WAIT) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        };
        while let Some(message) = next {
            match message {
                Message::Job(job) => match catch_unwind(AssertUnwindSafe(|| job(&mut self.world))) {
                    Ok(reply) => replies.push(reply),
                    Err(_) => {
                        tracing::error!(
                            "a job of the store panicked, a fault of ours; nothing of its group happened"
                        );
                        *whole = false;
                        return true;
                    }
                },
                Message::Close => return false,
            }
            next = if replies.len() < GROUP { receiver.try_recv().ok() } else { None };
        }
        true
    }

    /// Puts the group on disk and shows it to consumers.
    fn commit(&mut self) -> Committed {
        let changes = std::mem::take(&mut self.world.changes);
        if !changes.urgent() && changes.committed.is_empty() {
            return Committed::Yes;
        }
        match self.journal.write(&changes) {
            Ok(()) => {
                metrics::counter!("turnline_store_commits_total").increment(1);
                self.tail.show(changes.entries, &changes.committed);
                Committed::Yes
            }
            Err(error) => {
                tracing::error!(%error, directory = %self.directory.display(), "the data directory cannot be written; nobody of this group is answered");
                std::thread::sleep(DISK_PAUSE);
                if self.reload() { Committed::No } else { Committed::Lost }
            }
        }
    }

    /// The rooms in memory ran ahead of the disk: goes back to what is there. False when that
    /// cannot be read and we are closing: what is in memory must not be written down then.
    fn reload(&mut self) -> bool {
        loop {
            match World::load(&self.journal) {
                Ok(world) => {
                    self.tail.restart(world.last_offset());
                    self.world = world;
                    return true;
                }
                Err(error) => tracing::error!(%error, "the data directory cannot be read; trying again"),
            }
            if self.closing.load(Ordering::Relaxed) {
                return false;
            }
            std::thread::sleep(DISK_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_that_panics_fails_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (writer, _tail) = Writer::start(directory.path()).unwrap();
        let broken = writer.run(|world| {
            world.rooms.clear();
            assert!(world.rooms.len() > 1, "a fault of ours");
        });
        assert!(matches!(broken.await, Err(StoreError::Unavailable(_))));
        assert_eq!(writer.run(|world| world.rooms.len()).await, Ok(0));
        writer.close();
        assert!(writer.run(|_| ()).await.is_err(), "closed");
    }
}
