//! Turnline as it is run: Redis, Kafka and PostgreSQL, each service a process, the channel's one measured; a room
//! whose line moves by one visitor a second, so that every figure is another one at each tick.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use crowd::Handshake;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use turnline_tests::Role;
use turnline_tests::fleet::{Fleet, Member};

use super::figure::FRONT;
use crate::servers::Servers;

pub const ROOM: &str = "crowd";
const CALLERS: usize = 64;
/// Nobody's time runs out during a measurement.
const LONG_SECONDS: u64 = 86_400;

pub struct Ours {
    fleet: Fleet,
    // These run on beside every server that is measured, so that the machine is the same for all.
    _services: Vec<Member>,
    tickets: Arc<Vec<String>>,
    // Last: everything above talks to them.
    _servers: Servers,
}

impl Ours {
    /// Everything but the channel, with a line of `sockets` visitors behind a front that is called before them.
    pub async fn start(sockets: u32) -> anyhow::Result<Self> {
        let servers = Servers::start()?;
        let fleet = Fleet::on(servers.addresses());
        let door = Arc::new(fleet.start(Role::WaitingQueue, &[]).await);
        let mut services = Vec::new();
        for role in [Role::ActiveQueue, Role::Expiration] {
            services.push(fleet.start(role, &[]).await);
        }
        let policy = json!({
            "capacity": 1_000_000, "admit_per_minute": 60, "active_seconds": LONG_SECONDS,
            "max_session_seconds": LONG_SECONDS, "claim_seconds": LONG_SECONDS, "grace_seconds": LONG_SECONDS,
        });
        door.room(ROOM, &policy).await;
        join(&door, FRONT).await?;
        let tickets = Arc::new(join(&door, u64::from(sockets)).await?);
        services.push(Arc::into_inner(door).context("a join is still under way")?);
        Ok(Self { fleet, _services: services, tickets, _servers: servers })
    }

    /// A channel process that holds nobody yet.
    pub async fn channel(&self) -> anyhow::Result<(Member, SocketAddr)> {
        // Everybody is told at every tick, the far end of the line too, as by all the others.
        let channel = self.fleet.start(Role::ClientChannel, &[("TURNLINE_FAR_FROM", "0")]).await;
        let address = channel.address().parse()?;
        Ok((channel, address))
    }

    /// What each visitor asks with.
    pub fn request(&self, address: SocketAddr) -> impl Fn(u32) -> Handshake + Send + 'static {
        let (host, path) = (address.to_string(), format!("/v1/rooms/{ROOM}/channel"));
        let tickets = self.tickets.clone();
        move |who| {
            let ticket = tickets.get(who as usize).map_or("", String::as_str);
            Handshake::new(&host, &path, &["turnline.v1", &format!("ticket.{ticket}")])
        }
    }
}

/// The tickets of so many who join now, in the order of the line.
async fn join(door: &Arc<Member>, count: u64) -> anyhow::Result<Vec<String>> {
    let (mut joins, callers) = (JoinSet::new(), Arc::new(Semaphore::new(CALLERS)));
    for _ in 0..count {
        let (door, turn) = (door.clone(), callers.clone().acquire_owned().await?);
        joins.spawn(async move {
            let visitor = door.join(ROOM).await;
            drop(turn);
            (visitor.number, visitor.ticket)
        });
    }
    let mut joined = joins.join_all().await;
    joined.sort_unstable();
    Ok(joined.into_iter().map(|(_, ticket)| ticket).collect())
}
