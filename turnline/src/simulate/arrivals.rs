//! When each visitor arrives.

use std::time::Duration;

use super::chance::Chance;

/// How the crowd comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    /// All at once.
    Flash,
    /// Evenly over this time.
    Ramp { seconds: f64 },
    /// At random, this many a second on average.
    Poisson { per_second: f64 },
}

impl Arrivals {
    /// Reads `flash`, `ramp:SECONDS` or `poisson:PER_SECOND`.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn parse(text: &str) -> Result<Arrivals, String> {
        let positive = |value: &str| match value.parse::<f64>() {
            Ok(v) if v.is_finite() && v > 0.0 && v <= 1e6 => Ok(v),
            _ => Err(format!("{value:?} is not a positive number")),
        };
        match text.split_once(':') {
            None if text == "flash" => Ok(Arrivals::Flash),
            Some(("ramp", value)) => Ok(Arrivals::Ramp { seconds: positive(value)? }),
            Some(("poisson", value)) => Ok(Arrivals::Poisson { per_second: positive(value)? }),
            _ => Err("expected flash, ramp:SECONDS or poisson:PER_SECOND".into()),
        }
    }

    /// Offsets from the start, in order, one a visitor.
    pub fn schedule(self, visitors: u32, chance: &mut Chance) -> Vec<Duration> {
        let mut at = 0.0;
        (0..visitors)
            .map(|index| match self {
                Arrivals::Flash => Duration::ZERO,
                Arrivals::Ramp { seconds } => {
                    Duration::from_secs_f64(seconds * f64::from(index) / f64::from(visitors))
                }
                Arrivals::Poisson { per_second } => {
                    at += -(1.0 - chance.unit()).ln() / per_second;
                    Duration::from_secs_f64(at)
                }
            })
            .collect()
    }
}

impl std::fmt::Display for Arrivals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Arrivals::Flash => write!(f, "flash"),
            Arrivals::Ramp { seconds } => write!(f, "ramp:{seconds}"),
            Arrivals::Poisson { per_second } => write!(f, "poisson:{per_second}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_alike() {
        for text in ["flash", "ramp:10", "poisson:2.5"] {
            assert_eq!(Arrivals::parse(text).unwrap().to_string(), text);
        }
        for wrong in ["", "flash:1", "ramp", "ramp:0", "ramp:-1", "poisson:x", "poisson:NaN", "poisson:inf"] {
            assert!(Arrivals::parse(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn flash_is_all_at_once_and_ramp_is_even() {
        let mut chance = Chance::new(1);
        assert!(Arrivals::Flash.schedule(5, &mut chance).iter().all(Duration::is_zero));
        let ramp = Arrivals::Ramp { seconds: 10.0 }.schedule(5, &mut chance);
        assert_eq!(ramp, [0, 2, 4, 6, 8].map(Duration::from_secs));
    }

    #[test]
    fn poisson_keeps_its_rate_and_its_seed() {
        let draw = |seed| Arrivals::Poisson { per_second: 100.0 }.schedule(10_000, &mut Chance::new(seed));
        let times = draw(7);
        assert_eq!(times, draw(7));
        assert_ne!(times, draw(8));
        assert!(times.is_sorted());
        let whole = times.last().unwrap().as_secs_f64();
        assert!((90.0..110.0).contains(&whole), "10,000 at 100 a second took {whole} s");
    }
}
