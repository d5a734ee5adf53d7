//! Those who listen: so many sockets on one thread, the same for every server, noting what came and when.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use crowd::{Crowd, Handshake, Listener};

use super::figure::waiting_in;

/// Handshakes under way at once: more would measure a storm.
const OPENING_MAX: u32 = 200;
/// How long a socket may take to be opened, and all of them to be told once.
const OPEN_DEADLINE: Duration = Duration::from_secs(120);
/// A tick that takes longer than this never comes.
const TICK_DEADLINE: Duration = Duration::from_secs(5);
/// After the last tick that counts: what of it is still on its way.
const STRAGGLERS: Duration = Duration::from_secs(1);
const TURN: Duration = Duration::from_millis(50);

pub struct Audience {
    crowd: Crowd<Ears>,
    sockets: u32,
    asked: u32,
}

/// What was heard in a number of whole ticks.
#[derive(Debug, Clone)]
pub struct Heard {
    pub ticks: usize,
    pub took: Duration,
    pub pushes: u64,
    pub bytes: u64,
    pub cpu: Duration,
    pub own_cpu: Duration,
    /// From the first socket told in a tick to each other, in microseconds, in order.
    pub spread_us: Vec<u32>,
}

#[derive(Default)]
struct Ears {
    opened: u32,
    lost: Vec<String>,
    /// Whom the server asked to come again, and when.
    put_off: Vec<(u32, Instant)>,
    told: u32,
    pushes: u64,
    bytes: u64,
    /// By socket: the tick it heard of last.
    last: Vec<Option<u64>>,
    /// By what all texts of a tick share: which it is, and when the first socket heard of it.
    ticks: HashMap<u64, (usize, Instant)>,
    watched: Range<usize>,
    spread_us: Vec<u32>,
}

impl Audience {
    pub fn new(sockets: u32) -> anyhow::Result<Self> {
        let ears = Ears { last: vec![None; sockets as usize], ..Ears::default() };
        Ok(Self { crowd: Crowd::new(ears)?, sockets, asked: 0 })
    }

    /// Opens sockets until there are `count`, from one address of this machine, and waits until each was told once.
    pub fn open(
        &mut self,
        count: u32,
        (to, from): (SocketAddr, IpAddr),
        request: impl Fn(u32) -> Handshake,
    ) -> anyhow::Result<()> {
        let (began, count) = (Instant::now(), count.min(self.sockets));
        loop {
            let (opened, told) = (self.ears().opened, self.ears().told);
            if opened == count && told == count {
                return Ok(());
            }
            let mut room = OPENING_MAX.saturating_sub(self.asked - opened - self.ears().put_off.len() as u32);
            while room > 0
                && let Some(who) = self.next(count)
            {
                self.crowd.open(who, to, Some(from), &request(who))?;
                room -= 1;
            }
            self.turn()?;
            let late = began.elapsed() > OPEN_DEADLINE;
            ensure!(
                !late,
                "within {OPEN_DEADLINE:?} {opened} of {count} sockets were opened and {told} told"
            );
        }
    }

    /// Who asks next: those first that were told to come again.
    fn next(&mut self, count: u32) -> Option<u32> {
        let now = Instant::now();
        let put_off = &mut self.ears().put_off;
        if let Some(due) = put_off.iter().position(|(_, again)| *again <= now) {
            return Some(put_off.swap_remove(due).0);
        }
        let fresh = (self.asked < count).then_some(self.asked)?;
        self.asked += 1;
        Some(fresh)
    }

    /// Listens on, without noting anything.
    pub fn rest(&mut self, time: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < time {
            self.turn()?;
        }
        Ok(())
    }

    /// So many whole ticks: from the first text of one to the first text of another.
    pub fn watch(
        &mut self,
        ticks: usize,
        cpu: impl Fn() -> anyhow::Result<(Duration, Duration)>,
    ) -> anyhow::Result<Heard> {
        let known = self.ears().ticks.len();
        self.until_tick(known + 1)?;
        let (began, (cpu_before, own_before)) = (Instant::now(), cpu()?);
        let from = self.ears().ticks.len() - 1;
        let ears = self.ears();
        let (pushes, bytes) = (ears.pushes, ears.bytes);
        ears.spread_us.clear();
        ears.watched = from..from + ticks;
        self.until_tick(from + ticks + 1)?;
        let (took, (cpu_after, own_after)) = (began.elapsed(), cpu()?);
        let (pushes, bytes) = (self.ears().pushes - pushes, self.ears().bytes - bytes);
        self.rest(STRAGGLERS)?;
        let ears = self.ears();
        ears.watched = 0..0;
        let mut spread_us = std::mem::take(&mut ears.spread_us);
        spread_us.sort_unstable();
        let (cpu, own_cpu) = (cpu_after - cpu_before, own_after - own_before);
        Ok(Heard { ticks, took, pushes, bytes, cpu, own_cpu, spread_us })
    }

    fn until_tick(&mut self, count: usize) -> anyhow::Result<()> {
        let (mut known, mut since) = (self.ears().ticks.len(), Instant::now());
        while known < count {
            self.turn()?;
            if self.ears().ticks.len() > known {
                (known, since) = (self.ears().ticks.len(), Instant::now());
            }
            ensure!(since.elapsed() < TICK_DEADLINE, "nothing new was told for {TICK_DEADLINE:?}");
        }
        Ok(())
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        self.crowd.turn(TURN)?;
        let lost = &self.ears().lost;
        match lost.first() {
            None => Ok(()),
            Some(first) => bail!("{} sockets were lost; the first {first}", lost.len()),
        }
    }

    fn ears(&mut self) -> &mut Ears {
        self.crowd.listener()
    }
}

impl Listener for Ears {
    fn opened(&mut self, _who: u32) {
        self.opened += 1;
    }

    fn heard(&mut self, who: u32, text: &[u8]) {
        // What happens once, such as the room's state, is no push of a tick.
        let Some(tick) = waiting_in(text) else { return };
        let (nth, now) = (self.ticks.len(), Instant::now());
        self.pushes += 1;
        self.bytes += text.len() as u64;
        let (nth, first) = *self.ticks.entry(tick).or_insert((nth, now));
        let Some(last) = self.last.get_mut(who as usize) else { return };
        let before = last.replace(tick);
        self.told += u32::from(before.is_none());
        if before != Some(tick) && self.watched.contains(&nth) {
            self.spread_us.push(u32::try_from(now.duration_since(first).as_micros()).unwrap_or(u32::MAX));
        }
    }

    fn refused(&mut self, who: u32, status: u16, retry_after_seconds: Option<u64>) {
        match (status, retry_after_seconds) {
            (503, Some(seconds)) => self.put_off.push((who, Instant::now() + Duration::from_secs(seconds))),
            _ => self.lost.push(format!("({who}) was refused with {status}")),
        }
    }

    fn closed(&mut self, who: u32, code: Option<u16>) {
        self.lost.push(format!("({who}) was closed with {code:?}"));
    }
}
