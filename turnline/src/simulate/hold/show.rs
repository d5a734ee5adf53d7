//! One live line on the terminal; plain lines now and then where there is none.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::clock;
use super::protocol::Pulse;

const PLAIN: Duration = Duration::from_secs(5);

pub struct Show {
    bar: Option<ProgressBar>,
    began: Instant,
    said: Option<Instant>,
    before: Pulse,
    rates: (f64, f64),
}

impl Show {
    pub fn new(visitors: u32) -> Show {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{elapsed_precise} {bar:20} {pos}/{len}  {msg}");
            let bar = ProgressBar::new(u64::from(visitors));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Show { bar, began: Instant::now(), said: None, before: Pulse::default(), rates: (0.0, 0.0) }
    }

    pub fn see(&mut self, phase: &str, now: &Pulse) {
        if now.at >= self.before.at + clock::SECOND {
            let seconds = clock::seconds(now.at - self.before.at);
            let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
            self.rates = (rate(now.joined, self.before.joined), rate(now.messages, self.before.messages));
            self.before = *now;
        }
        let line = line(phase, now, self.rates);
        match &self.bar {
            Some(bar) => {
                bar.set_position(now.told);
                bar.set_message(line);
            }
            None if self.said.is_none_or(|said| said.elapsed() >= PLAIN) => {
                self.said = Some(Instant::now());
                eprintln!("{:>5} s  {line}", self.began.elapsed().as_secs());
            }
            None => {}
        }
    }

    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(phase: &str, now: &Pulse, (joins, pushes): (f64, f64)) -> String {
    let mut line = format!(
        "{phase}: joined {} · channels {} · know their place {} · {joins:.0} joins/s · {pushes:.0} messages/s",
        now.joined, now.open, now.told
    );
    for (what, count) in [
        ("inside", now.inside),
        ("ended", now.ended),
        ("not back", now.stormed),
        ("refused", now.refused),
        ("lost", now.lost),
    ] {
        if count > 0 {
            line.push_str(&format!(" · {what} {count}"));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_what_there_is() {
        let now = Pulse { joined: 5, open: 4, told: 3, stormed: 2, ..Pulse::default() };
        assert_eq!(
            line("storm", &now, (1.0, 2.0)),
            "storm: joined 5 · channels 4 · know their place 3 · 1 joins/s · 2 messages/s · not back 2"
        );
    }
}
