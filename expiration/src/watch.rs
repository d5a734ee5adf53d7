//! The watch over one room: who is there, tick by tick, and so who has been away too long.

use std::sync::Arc;
use std::time::Duration;

use edge::mirror::{Mirror, Mirrors};
use kernel::control::Control;
use kernel::event::Record;
use kernel::ports::StoreError;
use kernel::presence::Attendance;
use kernel::room::RoomState;
use kernel::words::{EndReason, Number, Ranges, RoomId, Timestamp};
use roaring::RoaringTreemap;
use tokio_util::sync::CancellationToken;

use crate::sessions::Sweep;
use crate::{Config, Ports};

/// Runs of numbers that leave in one step of the store.
const RUNS_PER_STEP: usize = 1_000;
/// Ticks after which the times of those who ended are dropped.
const FORGET_TICKS: u64 = 60;
/// Ticks between looks at whether the room's figures agree.
const AUDIT_TICKS: u64 = 60;
/// Faults of one look that are told one by one.
const FAULTS_TOLD: usize = 10;
/// Ticks that may be missed before the watch counts as interrupted.
const MISSED_TICKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(crate) struct Watch {
    room: RoomId,
    config: Config,
    ports: Ports,
    mirrors: Arc<Mirrors>,
    /// Absent while nobody can be missed: before the opening, in an empty room, when presence is silent.
    attendance: Option<Attendance>,
    /// When attendance was last taken.
    watched_at: Timestamp,
    ticks: u64,
}

/// What a tick needs to know of the room.
struct View {
    control: Control,
    issued: Number,
    empty: bool,
    grace_seconds: u64,
}

impl Watch {
    pub fn new(room: RoomId, config: Config, ports: Ports, mirrors: Arc<Mirrors>) -> Self {
        let watched_at = ports.clock.now();
        Self { room, config, ports, mirrors, attendance: None, watched_at, ticks: 0 }
    }

    /// Watches until stopped, or until the room is gone.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut pause = PAUSE;
        while !stop.is_cancelled() {
            let wait = match self.tick().await {
                Ok(()) => {
                    pause = PAUSE;
                    self.config.tick
                }
                Err(StoreError::UnknownRoom) => return self.mirrors.forget(&self.room),
                Err(error) => {
                    tracing::warn!(room = %self.room, %error, "the sweep stands still; trying again");
                    let wait = pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    wait
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn tick(&mut self) -> Result<(), StoreError> {
        let mirror = self.mirrors.follow(&self.room).await?;
        let now = self.ports.clock.now();
        if let Some(view) = mirror.read(|room| View {
            control: room.control,
            issued: room.issued,
            empty: room.sessions.is_empty() && room.line.waiting() == 0,
            grace_seconds: room.policy.grace_seconds + self.config.lag.as_secs(),
        }) {
            self.audit(&mirror, now).await;
            self.take_attendance(&view, now).await;
            self.end_the_gone(&mirror, view.grace_seconds, now).await?;
            self.forget_the_ended(&mirror);
        }
        Sweep {
            room: &self.room,
            ports: &self.ports,
            config: &self.config,
            attendance: self.attendance.as_ref(),
        }
        .run(now)
        .await
    }

    /// Absence counts only between looks that followed each other, and only once the room has opened.
    async fn take_attendance(&mut self, view: &View, now: Timestamp) {
        // A clock that was set back says nothing of how long anybody was away either.
        let interrupted = now < self.watched_at
            || now.since(self.watched_at) > (self.config.tick * MISSED_TICKS).as_millis() as u64;
        self.watched_at = now;
        if view.empty || view.control == Control::Prequeue {
            self.attendance = None;
            return;
        }
        match self.seen(now).await {
            Ok(Some(present)) => self.note(view.issued, &present, interrupted, now),
            Ok(None) => {
                if self.attendance.take().is_some() {
                    tracing::warn!(room = %self.room, "no process can see who is there: channels or polls are not served; the watch begins anew when they are");
                }
            }
            Err(error) => {
                tracing::warn!(room = %self.room, %error, "nobody knows who is there; the watch begins anew");
                self.attendance = None;
            }
        }
    }

    /// Who is there; nothing while nobody could be seen if they were.
    async fn seen(&self, now: Timestamp) -> Result<Option<RoaringTreemap>, StoreError> {
        let presence = &self.ports.presence;
        match presence.looked_out(now).await? {
            true => presence.present(&self.room, now).await.map(Some),
            false => Ok(None),
        }
    }

    fn note(&mut self, issued: Number, present: &RoaringTreemap, interrupted: bool, now: Timestamp) {
        let usable =
            |watch: &Attendance| !interrupted && now.since(watch.since()) < Attendance::SECONDS_MAX * 1000;
        let watch = self.attendance.take().filter(usable);
        let watch = self.attendance.insert(watch.unwrap_or_else(|| Attendance::new(now)));
        watch.observe(issued, present, now);
    }

    async fn end_the_gone(
        &mut self,
        mirror: &Mirror,
        grace_seconds: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(attendance) = &mut self.attendance else { return Ok(()) };
        let gone = mirror.read(|room| attendance.gone(room, grace_seconds, now)).unwrap_or_default();
        for part in gone.chunks(RUNS_PER_STEP) {
            let left: Ranges = self.ports.store.depart(&self.room, part, EndReason::NoShow, now).await?;
            metrics::counter!("turnline_abandoned_total").increment(left.count());
        }
        Ok(())
    }

    /// Tells as a fault of ours when slots, line and numbers given do not agree. Nothing is repaired here:
    /// the room is the fold of its events, and a rebuild makes it anew from them.
    async fn audit(&self, mirror: &Mirror, now: Timestamp) {
        if !self.ticks.is_multiple_of(AUDIT_TICKS) {
            return;
        }
        let faults = mirror.read(RoomState::faults).unwrap_or_default();
        metrics::counter!("turnline_room_faults_total").increment(faults.len() as u64);
        for fault in faults.iter().take(FAULTS_TOLD) {
            tracing::error!(room = %self.room, version = mirror.version(), %fault, "the room's figures do not agree; look at its events, and rebuild it with `turnline room rebuild`");
        }
        let Some(first) = faults.first() else { return };
        let (version, count) = (mirror.version(), faults.len());
        let detail = format!(
            "{first}, of {count} such faults at seq {version}; `turnline room rebuild {}` makes it anew from its events",
            self.room
        );
        let fault =
            Record::fault(&self.room, "expiration", "room_figures", &version.to_string(), detail, now);
        edge::tell_fault(self.ports.log.as_ref(), fault).await;
    }

    fn forget_the_ended(&mut self, mirror: &Mirror) {
        self.ticks += 1;
        let Some(attendance) = &mut self.attendance else { return };
        if self.ticks.is_multiple_of(FORGET_TICKS) {
            let first = mirror.read(|room| attendance.first_held(room));
            attendance.forget_before(first.unwrap_or(0));
        }
    }
}
