//! One `turnline up` as a child process: started, killed, terminated, restarted on the same data and port.
//! The process never outlives the value. On files, or on servers when `TURNLINE_TEST_ON` says so.

use std::ops::Deref;
use std::path::PathBuf;
use std::process::ExitStatus;

use tempfile::TempDir;

use crate::Site;
use crate::process::{Process, free_port};
use crate::servers::Addresses;
use crate::site::Secrets;

/// A running server with a data directory of its own.
pub struct Server {
    process: Process,
    site: Site,
    args: Vec<String>,
    env: Vec<(String, String)>,
    dir: TempDir,
}

impl Server {
    /// `turnline up` with these further arguments, ready to serve.
    pub async fn start(args: &[&str]) -> Server {
        Server::start_with(args, &[]).await
    }

    /// The same, with environment variables.
    pub async fn start_with(args: &[&str], env: &[(&str, &str)]) -> Server {
        Server::start_on(Addresses::if_wanted(), args, env).await
    }

    /// The same on these servers; without any, on files.
    pub async fn start_on(servers: Option<Addresses>, args: &[&str], env: &[(&str, &str)]) -> Server {
        let secrets = Secrets::random();
        let site = || Site::new(format!("127.0.0.1:{}", free_port()), secrets.clone());
        let dir = TempDir::with_prefix("turnline-test-").expect("a temporary folder");
        let on = servers.iter().flat_map(Addresses::args);
        let mut server = Server {
            process: Process::new("`turnline up`", dir.path().join("server.log")),
            site: site(),
            args: args.iter().copied().chain(on).map(str::to_owned).collect(),
            env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            dir,
        };
        // Somebody else may take a free port between finding and binding it: a first start may pick another.
        for _ in 0..3 {
            if server.spawn_and_wait().await.is_ok() {
                return server;
            }
            server.site = site();
        }
        panic!("`turnline up` did not become ready.\n{}", server.log_tail());
    }

    /// Starts it again on the same data directory and the same port.
    pub async fn restart(&mut self) {
        if let Err(why) = self.spawn_and_wait().await {
            panic!("`turnline up` did not come back: {why}.\n{}", self.log_tail());
        }
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process.has_ended()
    }

    /// From the next start on, without the environment variables it was started with.
    pub fn forget_env(&mut self) {
        self.env.clear();
    }

    /// `kill -9`, and waits until the process is gone.
    pub async fn kill_9(&mut self) {
        self.process.kill_9().await;
    }

    /// SIGTERM, and waits for the drain to end.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal_term();
        self.wait_for_exit().await
    }

    /// SIGTERM alone: what happens during the drain can be watched, then [`Server::wait_for_exit`].
    pub fn signal_term(&self) {
        self.process.signal_term();
    }

    /// Waits until the process has ended by itself.
    pub async fn wait_for_exit(&mut self) -> ExitStatus {
        self.process.wait_for_exit().await
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The last lines the server wrote.
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }

    async fn spawn_and_wait(&mut self) -> Result<(), String> {
        let mut command = self.site.command();
        command.arg("up").args(["--listen", &self.address()]).arg("--data-dir").arg(self.data_dir());
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        self.process.start(command, &self.site).await
    }
}

impl Deref for Server {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}
