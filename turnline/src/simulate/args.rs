//! What `turnline simulate` is asked to do, and the refusals that need no server.

use std::path::PathBuf;
use std::time::Duration;

use super::arrivals::Arrivals;

/// How long `--storm` holds the visitors when `--hold` does not say.
const HOLD_SECONDS: u64 = 60;

/// Simulated visitors against a running system, over real sockets.
#[derive(clap::Args, Clone, Debug)]
pub struct SimulateArgs {
    /// Where the system answers, for example http://127.0.0.1:8080
    #[arg(long, env = "TURNLINE_URL")]
    pub url: String,
    /// The room to send the visitors to
    #[arg(long, env = "TURNLINE_ROOM")]
    pub room: String,
    /// How many visitors
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub visitors: u32,
    /// How they arrive: `flash`, `ramp:SECONDS` or `poisson:PER_SECOND`
    #[arg(long, default_value = "flash", value_parser = Arrivals::parse)]
    pub arrivals: Arrivals,
    /// Admitted visitors hold a seat, charge their balance and pay; without it they give the slot back
    #[arg(long)]
    pub buy: bool,
    /// Share of the visitors who leave while waiting, 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = fraction)]
    pub leave_fraction: f64,
    /// Share of the visitors who drop their connection for good, 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = fraction)]
    pub abandon_fraction: f64,
    /// Ask over HTTP by `poll_after_seconds` instead of holding a WebSocket
    #[arg(long, conflicts_with = "sse")]
    pub poll: bool,
    /// Listen to server-sent events instead of a WebSocket
    #[arg(long)]
    pub sse: bool,
    /// Write the report to FILE.json or FILE.html as well
    #[arg(long, value_name = "FILE", value_parser = report_file)]
    pub report: Option<PathBuf>,
    /// Repeats who leaves, who abandons and when; random unless given
    #[arg(long)]
    pub seed: Option<u64>,
    /// Give up on visitors who have not finished after this long
    #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout_seconds: u64,
    /// How long the system may be away in the middle of the run
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub outage_seconds: u64,
    /// After the last visitor: how long the room may take until every slot is free again
    #[arg(long, default_value_t = 180, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub drain_seconds: u64,
    /// Visitors only join, open their channel and wait, so long once all are in place; as many as the machine
    /// holds, on several processes where one may not open enough files
    #[arg(
        long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60",
        value_parser = clap::value_parser!(u64).range(1..=86_400),
        conflicts_with_all = ["buy", "sse", "leave_fraction", "abandon_fraction"]
    )]
    pub hold: Option<u64>,
    /// In the middle of the holding all sockets are cut at once, and come back; implies --hold
    #[arg(long, conflicts_with_all = ["buy", "sse", "poll", "leave_fraction", "abandon_fraction"])]
    pub storm: bool,
    /// After the storm each visitor comes back within so long, or when the server said
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub storm_spread_seconds: u64,
    /// Where held visitors open their channels when not at --url; several are shared out evenly
    #[arg(long, value_name = "URL")]
    pub channels: Vec<String>,
    /// How old a held visitor's position may be at the end, and how long channel and tickets/me may disagree
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub settle_seconds: u64,
    /// Held visitors who --poll ask this often, whatever `poll_after_seconds` says
    #[arg(long, value_name = "SECONDS", requires = "poll", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub poll_every: Option<u64>,
    /// Fewer visitors a process than the limits allow
    #[arg(long, hide = true)]
    pub visitors_a_process: Option<u32>,
    /// One process of a held crowd; takes its orders on standard input
    #[arg(long, hide = true)]
    pub hold_worker: bool,
}

/// How a visitor hears of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    WebSocket,
    Events,
    Poll,
}

impl Medium {
    pub fn name(self) -> &'static str {
        match self {
            Medium::WebSocket => "websocket",
            Medium::Events => "sse",
            Medium::Poll => "poll",
        }
    }
}

impl SimulateArgs {
    pub fn medium(&self) -> Medium {
        match (self.poll, self.sse) {
            (true, _) => Medium::Poll,
            (false, true) => Medium::Events,
            (false, false) => Medium::WebSocket,
        }
    }

    pub fn outage(&self) -> Duration {
        Duration::from_secs(self.outage_seconds)
    }

    /// The base of every address, without a trailing slash.
    ///
    /// # Errors
    /// In plain words, when the URL cannot be used or the fractions do not fit together.
    pub fn base(&self) -> Result<reqwest::Url, String> {
        if self.leave_fraction + self.abandon_fraction > 1.0 {
            return Err("--leave-fraction and --abandon-fraction together exceed 1".into());
        }
        let room_is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.room.is_empty() || !self.room.chars().all(room_is_plain) {
            return Err(format!("--room {:?} is not the name of a room", self.room));
        }
        address(&self.url, "--url")
    }

    /// How long visitors who only wait are held; absent when they go the whole way.
    pub fn holding(&self) -> Option<Duration> {
        self.hold.or(self.storm.then_some(HOLD_SECONDS)).map(Duration::from_secs)
    }
}

/// A base address that simulated visitors can use.
///
/// # Errors
/// In plain words, with the name of the `flag` it came from.
pub fn address(text: &str, flag: &str) -> Result<reqwest::Url, String> {
    let url = reqwest::Url::parse(text).map_err(|e| format!("{flag} {text:?}: {e}"))?;
    match url.scheme() {
        "http" if url.has_host() => Ok(url),
        "https" => {
            Err(format!("{flag}: simulate speaks plain http only; point it at a node behind the TLS proxy"))
        }
        _ => Err(format!("{flag} {text:?} is not an http:// address")),
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(f) if (0.0..=1.0).contains(&f) => Ok(f),
        _ => Err("expected a number from 0 to 1".into()),
    }
}

fn report_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let folder_there = path.parent().is_none_or(|folder| folder.as_os_str().is_empty() || folder.is_dir());
    match path.extension().and_then(|e| e.to_str()) {
        // Said before the run rather than after it.
        Some("json" | "html") if !folder_there => Err("its folder does not exist".into()),
        Some("json" | "html") => Ok(path),
        _ => Err("expected a file name that ends in .json or .html".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SimulateArgs,
    }

    fn read(more: &[&str]) -> Result<SimulateArgs, clap::Error> {
        let start = ["simulate", "--room", "demo", "--visitors", "3"];
        Line::try_parse_from(start.iter().chain(more)).map(|line| line.args)
    }

    #[test]
    fn the_contracts_command_line_is_read() {
        let args =
            read(&["--url", "http://127.0.0.1:8080/", "--buy", "--sse", "--arrivals", "ramp:10"]).unwrap();
        assert!(args.buy);
        assert_eq!(args.medium(), Medium::Events);
        assert_eq!(args.arrivals, Arrivals::Ramp { seconds: 10.0 });
        assert!(args.base().is_ok());
    }

    #[test]
    fn wrong_arguments_are_refused() {
        let url = "http://127.0.0.1:1";
        for wrong in [
            &["--url", url, "--leave-fraction", "1.5"][..],
            &["--url", url, "--poll", "--sse"],
            &["--url", url, "--report", "x.txt"],
            &["--url", url, "--report", "no/such/folder/x.json"],
            &["--url", url, "--arrivals", "sometimes"],
            &[],
        ] {
            assert!(read(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn an_address_that_cannot_work_is_said_so() {
        for wrong in ["https://shop.example", "ftp://x", "no address", "http://"] {
            assert!(read(&["--url", wrong]).unwrap().base().is_err(), "{wrong:?} was taken");
        }
        let both =
            read(&["--url", "http://x", "--leave-fraction", "0.6", "--abandon-fraction", "0.6"]).unwrap();
        assert!(both.base().is_err());
    }
}
