//! The whole cluster: two processes of each service behind nginx, on Redis, Kafka and PostgreSQL. Each process
//! can be killed, told to stop and started again, and so can servers that are its own. Nothing outlives the value.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::ExitStatus;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::block_in_place;
use xtask::services::{Service, Services, Upstreams};

use crate::Site;
use crate::process::{Process, free_port};
use crate::servers::Addresses;
use crate::site::Secrets;

/// How many processes of each service there are.
pub const REPLICAS: usize = 2;

/// The five services, by the names that `turnline serve` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    WaitingQueue,
    ActiveQueue,
    Expiration,
    ClientChannel,
    ReservationApi,
}

impl Role {
    pub const ALL: [Role; 5] =
        [Role::WaitingQueue, Role::ActiveQueue, Role::Expiration, Role::ClientChannel, Role::ReservationApi];

    pub const fn name(self) -> &'static str {
        match self {
            Role::WaitingQueue => "waiting-queue",
            Role::ActiveQueue => "active-queue",
            Role::Expiration => "expiration",
            Role::ClientChannel => "client-channel",
            Role::ReservationApi => "reservation-api",
        }
    }
}

/// Ten processes behind one address. It needs a runtime of several threads.
pub struct Cluster {
    /// nginx.
    site: Site,
    replicas: Vec<Replica>,
    nginx: Service,
    servers: Option<Services>,
    addresses: Addresses,
    // Last: everything above has its files there.
    _dir: TempDir,
}

struct Replica {
    role: Role,
    process: Process,
    site: Site,
}

impl Cluster {
    /// On the servers that the tests share, in a namespace of its own.
    pub async fn start() -> Cluster {
        Cluster::on(Addresses::shared(), None, folder()).await
    }

    /// On servers of its own, which may be killed and emptied.
    pub async fn start_on_own_servers() -> Cluster {
        let dir = folder();
        let started = block_in_place(|| Services::start(&dir.path().join("servers")));
        let servers = started.unwrap_or_else(|why| panic!("the servers did not start: {why:#}"));
        Cluster::on(Addresses::of(&servers), Some(servers), dir).await
    }

    async fn on(addresses: Addresses, servers: Option<Services>, dir: TempDir) -> Cluster {
        let secrets = Secrets::random();
        let mut replicas: Vec<Replica> = Role::ALL
            .into_iter()
            .flat_map(|role| (0..REPLICAS).map(move |index| (role, index)))
            .map(|(role, index)| Replica::new(role, index, &secrets, dir.path().to_owned()))
            .collect();
        // All at once: whoever is first makes the topics and the tables, and the others find them.
        let starting = replicas.iter_mut().map(|replica| replica.start(&addresses));
        futures_util::future::join_all(starting).await;
        let of = |role: Role| {
            let own = replicas.iter().filter(|replica| replica.role == role);
            own.map(|replica| replica.site.address()).collect()
        };
        let upstreams = Upstreams {
            waiting_queue: of(Role::WaitingQueue),
            client_channel: of(Role::ClientChannel),
            reservation_api: of(Role::ReservationApi),
        };
        let nginx = block_in_place(|| Service::nginx(&dir.path().join("front"), upstreams));
        let nginx = nginx.unwrap_or_else(|why| panic!("nginx did not start: {why:#}"));
        let site = Site::new(format!("127.0.0.1:{}", nginx.port()), secrets);
        Cluster { site, replicas, nginx, servers, addresses, _dir: dir }
    }

    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// One process at its own address, past nginx.
    pub fn at(&self, role: Role, index: usize) -> &Site {
        let mut own = self.replicas.iter().filter(|replica| replica.role == role);
        &own.nth(index).expect("one of the replicas").site
    }

    /// `kill -9`, and waits until the process is gone.
    pub async fn kill_9(&mut self, role: Role, index: usize) {
        self.replica(role, index).process.kill_9().await;
    }

    /// SIGTERM, and waits for the drain to end.
    pub async fn terminate(&mut self, role: Role, index: usize) -> ExitStatus {
        let process = &mut self.replica(role, index).process;
        process.signal_term();
        process.wait_for_exit().await
    }

    /// Starts it again on the same port.
    pub async fn restart(&mut self, role: Role, index: usize) {
        let addresses = self.addresses.clone();
        self.replica(role, index).start(&addresses).await;
    }

    /// Redis, Kafka and PostgreSQL, where they are this cluster's own.
    #[track_caller]
    pub fn servers(&mut self) -> &mut Services {
        self.servers.as_mut().expect("a cluster on servers of its own")
    }

    /// Takes everything out of a Redis that is this cluster's own.
    #[track_caller]
    pub fn empty_redis(&mut self) {
        let port = self.servers().redis.port();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("to reach Redis");
        stream.write_all(b"FLUSHALL\r\n").expect("to tell Redis");
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).expect("an answer of Redis");
        assert_eq!(&answer, b"+OK\r\n", "the answer to FLUSHALL");
    }

    fn replica(&mut self, role: Role, index: usize) -> &mut Replica {
        let mut own = self.replicas.iter_mut().filter(|replica| replica.role == role);
        own.nth(index).expect("one of the replicas")
    }
}

impl Deref for Cluster {
    type Target = Site;

    /// All of them, through nginx.
    fn deref(&self) -> &Site {
        &self.site
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.nginx.tail());
            for server in self.servers.iter().flat_map(|own| [&own.redis, &own.kafka, &own.postgres]) {
                eprintln!("{}", server.tail());
            }
        }
    }
}

impl Replica {
    fn new(role: Role, index: usize, secrets: &Secrets, dir: PathBuf) -> Replica {
        let name = format!("{}-{index}", role.name());
        let process = Process::new(&name, dir.join(format!("{name}.log")));
        Replica { role, process, site: Site::new(format!("127.0.0.1:{}", free_port()), secrets.clone()) }
    }

    async fn start(&mut self, addresses: &Addresses) {
        if let Err(why) = self.process.start(self.command(addresses), &self.site).await {
            panic!("{} did not start: {why}.\n{}", self.role.name(), self.process.log_tail());
        }
    }

    fn command(&self, addresses: &Addresses) -> Command {
        let mut command = self.site.command();
        command.args(["serve", self.role.name(), "--listen", &self.site.address(), "--charges"]);
        command.args(addresses.args());
        command
    }
}

fn folder() -> TempDir {
    TempDir::with_prefix("turnline-cluster-").expect("a temporary folder")
}
