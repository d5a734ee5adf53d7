//! One live line on the terminal; plain lines now and then where there is none.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::world::{Counts, World};

const LIVE: Duration = Duration::from_millis(250);
const PLAIN: Duration = Duration::from_secs(5);

/// Shows the counts until told to stop.
pub async fn show(world: Arc<World>, stop: CancellationToken) {
    let bar = std::io::stderr().is_terminal().then(|| new_bar(world.args.visitors));
    let every = if bar.is_some() { LIVE } else { PLAIN };
    let mut joined_before = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => break,
        }
        let joined = world.counts.joined.load(Ordering::Relaxed);
        let rate = (joined - joined_before) as f64 / every.as_secs_f64();
        joined_before = joined;
        let line = line(&world.counts, rate);
        match &bar {
            Some(bar) => {
                bar.set_position(finished(&world.counts));
                bar.set_message(line);
            }
            None => eprintln!("{:>5} s  {line}", world.now().as_secs()),
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

fn new_bar(visitors: u32) -> ProgressBar {
    let bar = ProgressBar::new(u64::from(visitors));
    let style = ProgressStyle::with_template("{elapsed_precise} {bar:20} {pos}/{len}  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn finished(counts: &Counts) -> u64 {
    counts.done.load(Ordering::Relaxed) + counts.ended.load(Ordering::Relaxed)
}

fn line(counts: &Counts, joins_per_second: f64) -> String {
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    format!(
        "joined {} · waiting {} · admitted {} · done {} · ended {} · {joins_per_second:.0} joins/s",
        read(&counts.joined),
        read(&counts.waiting),
        read(&counts.inside),
        read(&counts.done),
        read(&counts.ended),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_every_count() {
        let counts = Counts::default();
        counts.joined.store(9, Ordering::Relaxed);
        counts.done.store(2, Ordering::Relaxed);
        counts.ended.store(1, Ordering::Relaxed);
        let line = line(&counts, 4.0);
        assert_eq!(line, "joined 9 · waiting 0 · admitted 0 · done 2 · ended 1 · 4 joins/s");
        assert_eq!(finished(&counts), 3);
    }
}
