//! Turnline in as many processes as a large crowd needs, on servers of its own, and the crowd that `simulate --hold`
//! makes: started, watched while it is held, and asked for its report.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use backend::clock::SystemClock;
use kernel::ports::{Clock, RoomStore};
use kernel::words::RoomId;
use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;
use tokio::task::JoinHandle;
use turnline_tests::Role;
use turnline_tests::fleet::{Fleet, Member};

use crate::rooms::{self, Known};
use crate::servers::{Redis, Servers};
use crate::spent;

/// Files that a channel process holds beside its sockets, with room for sockets that come before others have gone.
const OTHER_FILES: u32 = 3_000;
/// One process fans out to so many at most, however many files it may open.
const SOCKETS_A_PROCESS_MOST: u32 = 50_000;
/// How long a crowd may take to join and to open its channels: so long, and a while for each visitor.
const GATHER_LEAST: Duration = Duration::from_secs(240);
const GATHER_A_VISITOR: Duration = Duration::from_millis(2);
/// What channel processes are told when it is said to us.
const TOLD: [&str; 2] = [FAR_FROM, PUSHES_PER_SECOND];
const FAR_FROM: &str = "TURNLINE_FAR_FROM";
pub const PUSHES_PER_SECOND: &str = "TURNLINE_PUSHES_PER_SECOND";
/// How long a crowd may take to end after what it was asked for.
const END_DEADLINE: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Nobody's time runs out during a measurement.
const LONG_SECONDS: u64 = 86_400;
const BATCH: u64 = 1_000;

/// What a line needs: several processes for those who come and ask, and for channels, one of each other service.
pub struct Stage {
    doors: Vec<Member>,
    channels: Vec<Member>,
    behind: Vec<Member>,
    fleet: Fleet,
    // Last: everything above talks to them.
    servers: Servers,
}

/// A crowd under way.
pub struct Held {
    process: Child,
    gather_deadline: Duration,
    dir: TempDir,
}

/// A channel process with one socket: what grows in it as in the others is the room's, not the crowd's.
pub struct Witness {
    member: Member,
    listening: JoinHandle<u16>,
}

/// What all processes have cost so far, by service.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Cost {
    pub waiting_queue: Duration,
    pub client_channel: Duration,
    pub others: Duration,
}

impl Stage {
    /// How many processes so many sockets need here.
    pub fn processes_for(sockets: u32) -> anyhow::Result<u32> {
        let each = spent::open_files_max()?.saturating_sub(OTHER_FILES).clamp(1, SOCKETS_A_PROCESS_MOST);
        Ok(sockets.div_ceil(each))
    }

    /// With so many processes of the waiting queue and for channels. From which place on visitors hear less often,
    /// they are told by `far_from`, else by what `TURNLINE_FAR_FROM` says to us, else by their own default; of
    /// `TURNLINE_PUSHES_PER_SECOND` likewise.
    pub async fn start((doors, channels): (u32, u32), far_from: Option<u32>) -> anyhow::Result<Self> {
        let servers = Servers::start()?;
        let fleet = Fleet::on(servers.addresses());
        let said = TOLD.into_iter().filter_map(|name| Some((name, std::env::var(name).ok()?)));
        let mut said: BTreeMap<&str, String> = said.collect();
        said.extend(far_from.map(|from| (FAR_FROM, from.to_string())));
        let told: Vec<(&str, &str)> = said.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut started =
            Self { doors: Vec::new(), channels: Vec::new(), behind: Vec::new(), fleet, servers };
        for _ in 0..doors.max(1) {
            started.doors.push(started.fleet.start(Role::WaitingQueue, &[]).await);
        }
        for role in [Role::ActiveQueue, Role::Expiration] {
            started.behind.push(started.fleet.start(role, &[]).await);
        }
        for _ in 0..channels {
            started.channels.push(started.fleet.start(Role::ClientChannel, &told).await);
        }
        Ok(started)
    }

    /// Where visitors come in, and an operator too.
    pub fn door(&self) -> &Member {
        // There is always one.
        &self.doors[0]
    }

    /// A room that admits so many a minute and ends nobody soon, with `front` visitors in line who open no channel:
    /// those who come later see them called.
    pub async fn room(&self, name: &str, admit_per_minute: u64, front: u64) -> anyhow::Result<()> {
        let policy = json!({
            "capacity": 10_000_000, "admit_per_minute": admit_per_minute, "active_seconds": LONG_SECONDS,
            "max_session_seconds": LONG_SECONDS, "claim_seconds": LONG_SECONDS, "grace_seconds": LONG_SECONDS,
        });
        self.door().room(name, &policy).await;
        self.door().tell(name, "pause").await;
        let room = RoomId::parse(name)?;
        // Fills the line as another process would, and is gone before anything is counted.
        let filler = self.servers.process("bench").await?;
        let store: Arc<dyn RoomStore> = Arc::new(filler.rooms.clone());
        rooms::fill(&store, &room, Known::Nothing, front, (BATCH, 1), SystemClock.now()).await?;
        self.servers.redis().until_relayed(&room).await?;
        filler.close().await;
        self.door().tell(name, "resume").await;
        Ok(())
    }

    /// Sends a crowd into the room, to be held for so long; `args` are further arguments of `simulate`. Those who
    /// `--poll` keep a connection each too, and are shared out over the processes that they ask.
    pub fn send(&self, room: &str, visitors: u32, hold: Duration, args: &[&str]) -> anyhow::Result<Held> {
        let dir = TempDir::with_prefix("turnline-held-")?;
        let mut command = self.door().command();
        command.args(["simulate", "--url", &self.door().url(), "--room", room]);
        command.args(["--visitors", &visitors.to_string(), "--hold", &hold.as_secs().to_string()]);
        let gather_deadline = GATHER_LEAST + GATHER_A_VISITOR * visitors;
        command.args(["--timeout-seconds", &(hold + gather_deadline).as_secs().to_string()]);
        let told_by = if args.contains(&"--poll") { &self.doors } else { &self.channels };
        for member in told_by {
            command.args(["--channels", &member.url()]);
        }
        command.args(args).arg("--report").arg(dir.path().join("report.json"));
        let out = File::create(dir.path().join("crowd.log"))?;
        let errors = out.try_clone()?;
        Ok(Held { process: command.stdout(out).stderr(errors).spawn()?, gather_deadline, dir })
    }

    /// One more channel process, for one more visitor of the room.
    pub async fn witness(&self, room: &str) -> Witness {
        let member = self.fleet.start(Role::ClientChannel, &[]).await;
        let visitor = self.door().join(room).await;
        let mut channel = member.open(&visitor).await;
        let listening = tokio::spawn(async move { channel.listen().await });
        Witness { member, listening }
    }

    pub fn redis(&self) -> Redis {
        self.servers.redis()
    }

    /// Where Redis and Kafka listen.
    pub fn ports(&self) -> (u16, u16) {
        self.servers.ports()
    }

    pub fn cost(&self) -> anyhow::Result<Cost> {
        let of = |members: &[Member]| -> anyhow::Result<Duration> {
            members.iter().map(|member| spent::cpu(member.pid())).sum()
        };
        Ok(Cost {
            waiting_queue: of(&self.doors)?,
            client_channel: of(&self.channels)?,
            others: of(&self.behind)?,
        })
    }

    /// Of each channel process.
    pub fn memory(&self) -> anyhow::Result<Vec<u64>> {
        self.channels.iter().map(|channel| spent::memory(channel.pid())).collect()
    }

    /// A figure of all channel processes together, as they count it.
    pub async fn figure(&self, name: &str) -> f64 {
        let mut sum = 0.0;
        for channel in &self.channels {
            sum += figure(channel, name).await.unwrap_or(0.0);
        }
        sum
    }
}

impl Witness {
    pub fn memory(&self) -> anyhow::Result<u64> {
        ensure!(!self.listening.is_finished(), "the witness was cut off");
        spent::memory(self.member.pid())
    }
}

impl Cost {
    pub fn all(&self) -> Duration {
        self.waiting_queue + self.client_channel + self.others
    }

    pub fn since(&self, before: &Cost) -> Cost {
        Cost {
            waiting_queue: self.waiting_queue - before.waiting_queue,
            client_channel: self.client_channel - before.client_channel,
            others: self.others - before.others,
        }
    }
}

impl Held {
    /// Waits until everybody is there and waits.
    pub async fn until_holding(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while !self.is_holding()? {
            if let Some(status) = self.process.try_wait()? {
                bail!("the crowd ended before it was held ({status}):\n{}", self.said());
            }
            // It gives up by itself, and says then why; this is for one that does not.
            let late = began.elapsed() > 3 * self.gather_deadline;
            ensure!(!late, "the crowd neither comes nor ends:\n{}", self.said());
            // sleep: the interval of a poll under a deadline
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// What it says now and then tells its phase.
    pub fn is_holding(&mut self) -> anyhow::Result<bool> {
        let holding =
            self.said().trim_end().lines().next_back().is_some_and(|line| line.contains("holding: "));
        Ok(holding && self.process.try_wait()?.is_none())
    }

    /// Its report, whatever it found; an error when there is none.
    pub async fn ends(mut self) -> anyhow::Result<Value> {
        let status = tokio::time::timeout(END_DEADLINE, self.process.wait()).await;
        let status = status.with_context(|| format!("the crowd does not end:\n{}", self.said()))??;
        let report = std::fs::read_to_string(self.dir.path().join("report.json"));
        let report = report.with_context(|| format!("no report ({status}):\n{}", self.said()))?;
        Ok(serde_json::from_str(&report)?)
    }

    /// The end of what it wrote so far.
    pub fn said(&self) -> String {
        let said = std::fs::read_to_string(self.dir.path().join("crowd.log")).unwrap_or_default();
        let from = said.char_indices().rev().nth(6_000).map_or(0, |(at, _)| at);
        said.get(from..).unwrap_or_default().to_owned()
    }
}

/// One of a report's latencies, by its name: its quantiles as they stand there.
pub fn latency<'a>(report: &'a Value, name: &str) -> Option<&'a Value> {
    report["latencies"].as_array()?.iter().find(|latency| latency["name"] == name)
}

/// A figure of `/metrics`, all of its series together.
async fn figure(member: &Member, name: &str) -> Option<f64> {
    let metrics = member.get("/metrics").try_send().await.ok()?;
    let of = |line: &str| line.strip_prefix(name)?.split_whitespace().next_back()?.parse::<f64>().ok();
    let series: Vec<f64> = metrics.text.lines().filter_map(of).collect();
    (!series.is_empty()).then(|| series.iter().sum())
}
