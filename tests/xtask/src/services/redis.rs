//! Redis that keeps what it acknowledged: every write is in the append-only file, on disk, before the answer.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Program;
use super::process::Signal;
use crate::machine::{self, Need, REDIS};

pub const NEEDS: &[Need] = &[REDIS];
const TIMEOUT: Duration = Duration::from_secs(2);

pub struct Redis;

impl Program for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn needs(&self) -> &'static [Need] {
        NEEDS
    }

    fn prepare(&self, dir: &Path, port: u16) -> Result<()> {
        let data = dir.join("redis");
        fs::create_dir_all(&data)?;
        let settings = format!(
            "bind 127.0.0.1\nport {port}\ndir \"{}\"\ndaemonize no\n\
             appendonly yes\nappendfsync always\nsave \"\"\n",
            data.display()
        );
        Ok(fs::write(data.join("redis.conf"), settings)?)
    }

    fn command(&self, dir: &Path, _port: u16) -> Result<Command> {
        let mut command = Command::new(machine::program(&REDIS).context("redis-server is missing")?);
        command.arg(dir.join("redis/redis.conf"));
        Ok(command)
    }

    /// It answers PING with `-LOADING` while it still reads its file.
    fn answers(&self, _dir: &Path, port: u16) -> Result<()> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 256];
        let length = stream.read(&mut answer)?;
        match &answer[..length] {
            b"+PONG\r\n" => Ok(()),
            other => bail!("PING was answered with {:?}", String::from_utf8_lossy(other)),
        }
    }

    fn stop_signal(&self) -> Signal {
        Signal::Terminate
    }

    fn drop_signal(&self) -> Signal {
        Signal::Kill
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn url(&self, port: u16) -> String {
        format!("redis://127.0.0.1:{port}")
    }
}
