//! Processes of single services, as many as somebody wants, each with settings of its own and at its own address:
//! for measurements, which want nothing in between.

use std::ops::Deref;

use tempfile::TempDir;

use crate::Site;
use crate::cluster::Role;
use crate::process::{Process, free_port};
use crate::servers::Addresses;
use crate::site::Secrets;

/// What all processes of one Turnline share. Their logs go with it.
pub struct Fleet {
    addresses: Addresses,
    secrets: Secrets,
    dir: TempDir,
}

/// One process; it ends with this value.
pub struct Member {
    process: Process,
    site: Site,
}

impl Fleet {
    /// Nobody yet.
    pub fn on(addresses: Addresses) -> Fleet {
        let dir = TempDir::with_prefix("turnline-fleet-").expect("a temporary folder");
        Fleet { addresses, secrets: Secrets::random(), dir }
    }

    /// One more, ready to serve, with this in its environment.
    pub async fn start(&self, role: Role, env: &[(&str, &str)]) -> Member {
        let site = Site::new(format!("127.0.0.1:{}", free_port()), self.secrets.clone());
        let name = format!("{}-{}", role.name(), site.address().replace([':', '.'], "-"));
        let mut process = Process::new(&name, self.dir.path().join(format!("{name}.log")));
        let mut command = site.command();
        command.args(["serve", role.name(), "--listen", &site.address()]).args(self.addresses.args());
        command.envs(env.iter().copied());
        if let Err(why) = process.start(command, &site).await {
            panic!("{name} did not start: {why}.\n{}", process.log_tail());
        }
        Member { process, site }
    }
}

impl Member {
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.process.pid().expect("a running process")
    }

    /// `kill -9`, and waits until the process is gone.
    pub async fn kill_9(mut self) {
        self.process.kill_9().await;
    }
}

impl Deref for Member {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}
