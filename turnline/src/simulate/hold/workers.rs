//! The worker processes of a run: started, told what to do, listened to.

use std::process::Stdio;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

use super::protocol::{Order, Pulse, Share, Told};
use crate::simulate::args::SimulateArgs;

/// What the workers said, as it comes: which one, and what.
type Heard = mpsc::UnboundedReceiver<(usize, Told)>;

pub struct Workers {
    orders: Vec<ChildStdin>,
    heard: Heard,
    pulses: Vec<Pulse>,
    /// Ends them with this process.
    _processes: Vec<Child>,
}

impl Workers {
    /// Starts one process a share and lets it begin.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub async fn start(args: &SimulateArgs, shares: &[Share]) -> anyhow::Result<Workers> {
        let (tell, heard) = mpsc::unbounded_channel();
        let (mut orders, mut processes) = (Vec::new(), Vec::new());
        for (index, share) in shares.iter().enumerate() {
            let mut process = start(args, share).context("a worker process cannot be started")?;
            let (Some(stdin), Some(stdout)) = (process.stdin.take(), process.stdout.take()) else {
                anyhow::bail!("a worker process has no pipes");
            };
            tokio::spawn(listen(index, stdout, tell.clone()));
            orders.push(stdin);
            processes.push(process);
        }
        let pulses = vec![Pulse::default(); shares.len()];
        let mut workers = Workers { orders, heard, pulses, _processes: processes };
        for (index, share) in shares.iter().enumerate() {
            workers.order(index, &Order::Begin(share.clone())).await?;
        }
        Ok(workers)
    }

    /// # Errors
    /// When a worker does not listen any more.
    pub async fn order_all(&mut self, order: &Order) -> anyhow::Result<()> {
        for index in 0..self.orders.len() {
            self.order(index, order).await?;
        }
        Ok(())
    }

    /// The next thing a worker says that is no pulse; pulses are taken in on the way. May be dropped at any
    /// point and called again.
    ///
    /// # Errors
    /// When a worker failed or fell.
    pub async fn next(&mut self) -> anyhow::Result<Option<Told>> {
        match self.heard.recv().await {
            Some((index, Told::Pulse(pulse))) => {
                if let Some(last) = self.pulses.get_mut(index) {
                    *last = pulse;
                }
                Ok(None)
            }
            Some((_, Told::Failed { why })) => Err(anyhow::anyhow!("a worker process failed: {why}")),
            Some((_, told)) => Ok(Some(told)),
            None => Err(anyhow::anyhow!("all worker processes are gone")),
        }
    }

    /// The sum of the last pulses; `at` is the latest.
    pub fn sum(&self) -> Pulse {
        sum(&self.pulses)
    }

    pub fn count(&self) -> usize {
        self.orders.len()
    }

    async fn order(&mut self, index: usize, order: &Order) -> anyhow::Result<()> {
        let Some(orders) = self.orders.get_mut(index) else { return Ok(()) };
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        orders.write_all(&line).await.context("a worker process is gone")?;
        orders.flush().await.context("a worker process is gone")
    }
}

fn start(args: &SimulateArgs, share: &Share) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["simulate", "--hold-worker", "--url", &args.url, "--room", &args.room]);
    command.args(["--visitors", &share.visitors.to_string()]);
    command.args(["--outage-seconds", &args.outage_seconds.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()
}

async fn listen(index: usize, stdout: ChildStdout, tell: mpsc::UnboundedSender<(usize, Told)>) {
    let mut lines = BufReader::new(stdout).lines();
    let mut done = false;
    while let Ok(Some(line)) = lines.next_line().await {
        let told = serde_json::from_str(&line)
            .unwrap_or_else(|error| Told::Failed { why: format!("it said {line:?}: {error}") });
        done |= matches!(told, Told::Done(_));
        if tell.send((index, told)).is_err() {
            return;
        }
    }
    if !done {
        // Whoever waits for it learns that it is gone; after the run nobody waits.
        let _ = tell.send((index, Told::Failed { why: "it ended early".into() }));
    }
}

fn sum(pulses: &[Pulse]) -> Pulse {
    pulses.iter().fold(Pulse::default(), |sum, one| Pulse {
        at: sum.at.max(one.at),
        joined: sum.joined + one.joined,
        open: sum.open + one.open,
        told: sum.told + one.told,
        inside: sum.inside + one.inside,
        ended: sum.ended + one.ended,
        lost: sum.lost + one.lost,
        stormed: sum.stormed + one.stormed,
        storms: sum.storms + one.storms,
        refused: sum.refused + one.refused,
        messages: sum.messages + one.messages,
        bytes: sum.bytes + one.bytes,
        requests: sum.requests + one.requests,
        bytes_out: sum.bytes_out + one.bytes_out,
        processor: sum.processor + one.processor,
        kept: sum.kept + one.kept,
        memory: sum.memory + one.memory,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulses_add_up_and_the_latest_tells_the_time() {
        let one = Pulse { at: 5, joined: 2, told: 1, messages: 7, ..Pulse::default() };
        let other = Pulse { at: 3, joined: 4, told: 4, stormed: 1, ..Pulse::default() };
        let expected = Pulse { at: 5, joined: 6, told: 5, messages: 7, stormed: 1, ..Pulse::default() };
        assert_eq!(sum(&[one, other]), expected);
        assert_eq!(sum(&[]), Pulse::default());
    }
}
