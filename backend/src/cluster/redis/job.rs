//! What callers want of a room: work that may run several times, and one answer.

use std::time::{Duration, Instant};

use kernel::ports::StoreError;
use kernel::room::Room;
use tokio::sync::oneshot;

/// How long a caller's work is tried while Redis does not answer or others are faster.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);

/// Work on a room, as one of its desk's group.
pub(super) struct Job {
    work: Box<dyn Work>,
    since: Instant,
    /// The room is to be made anew, whatever Redis has of it.
    pub doubts: bool,
}

/// Work that fails in a panic of its own; the room it worked on is not to be trusted.
pub(super) struct Panicked;

trait Work: Send {
    fn run(&mut self, room: &mut Room);
    fn make(&mut self) -> Option<Room>;
    fn answer(&mut self, outcome: Result<(), StoreError>);
    fn deserted(&self) -> bool;
}

pub(super) type Answered<T> = oneshot::Receiver<Result<T, StoreError>>;

impl Job {
    /// Work on a room that there is.
    pub fn act<T: Send + 'static>(act: impl FnMut(&mut Room) -> T + Send + 'static) -> (Self, Answered<T>) {
        let make: Option<fn() -> (Room, T)> = None;
        Self::new(act, make)
    }

    /// Work on a room that is made where there is none.
    pub fn act_or_make(
        act: impl FnMut(&mut Room) + Send + 'static,
        mut make: impl FnMut() -> Room + Send + 'static,
    ) -> (Self, Answered<()>) {
        Self::new(act, Some(move || (make(), ())))
    }

    /// Wants the room made anew from its events.
    pub fn doubt() -> (Self, Answered<()>) {
        let (mut job, answered) = Self::act(|_| ());
        job.doubts = true;
        (job, answered)
    }

    fn new<T: Send + 'static>(
        act: impl FnMut(&mut Room) -> T + Send + 'static,
        make: Option<impl FnMut() -> (Room, T) + Send + 'static>,
    ) -> (Self, Answered<T>) {
        let (reply, answered) = oneshot::channel();
        let work = Box::new(Asked { act, make, done: None, reply: Some(reply) });
        (Self { work, since: Instant::now(), doubts: false }, answered)
    }

    /// Runs on the room as it is now, whatever came of it before.
    pub fn run(&mut self, room: &mut Room) -> Result<(), Panicked> {
        let run = std::panic::AssertUnwindSafe(|| self.work.run(room));
        std::panic::catch_unwind(run).map_err(|_| Panicked)
    }

    /// The room that the caller makes where there is none.
    pub fn make(&mut self) -> Option<Room> {
        self.work.make()
    }

    /// What the last run gave is agreed on.
    pub fn succeed(mut self) {
        self.work.answer(Ok(()));
    }

    pub fn fail(mut self, error: StoreError) {
        self.work.answer(Err(error));
    }

    /// Nobody waits for the answer any more.
    pub fn deserted(&self) -> bool {
        self.work.deserted()
    }

    pub fn out_of_patience(&self) -> bool {
        self.since.elapsed() >= PATIENCE
    }
}

struct Asked<T, A, M> {
    act: A,
    make: Option<M>,
    done: Option<T>,
    reply: Option<oneshot::Sender<Result<T, StoreError>>>,
}

impl<T: Send, A: FnMut(&mut Room) -> T + Send, M: FnMut() -> (Room, T) + Send> Work for Asked<T, A, M> {
    fn run(&mut self, room: &mut Room) {
        self.done = Some((self.act)(room));
    }

    fn make(&mut self) -> Option<Room> {
        let (room, done) = self.make.as_mut()?();
        self.done = Some(done);
        Some(room)
    }

    fn answer(&mut self, outcome: Result<(), StoreError>) {
        let never_run = || StoreError::Unavailable("the work was never done".to_owned());
        let answer = outcome.and_then(|()| self.done.take().ok_or_else(never_run));
        if let Some(reply) = self.reply.take() {
            // Who went away meanwhile does not hear it.
            drop(reply.send(answer));
        }
    }

    fn deserted(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}
