//! Rounds as one figure, and figures that the caller may set.

use anyhow::Context;

/// The median of the rounds' own ratios: what a round shared with its floor is the machine's mood.
pub fn ratio(rates: &[f64], floors: &[f64]) -> f64 {
    let ratios: Vec<f64> = rates.iter().zip(floors).map(|(rate, floor)| rate / floor).collect();
    rounded(median(&ratios), 1e3)
}

pub fn median(figures: &[f64]) -> f64 {
    middle(figures, |figure| *figure).unwrap_or_default()
}

/// The one in the middle of all, by its rate.
pub fn middle<T: Clone>(runs: &[T], rate: impl Fn(&T) -> f64) -> Option<T> {
    let mut sorted = runs.to_vec();
    sorted.sort_by(|a, b| rate(a).total_cmp(&rate(b)));
    sorted.get(sorted.len() / 2).cloned()
}

pub fn rounded(figure: f64, to: f64) -> f64 {
    (figure * to).round() / to
}

/// What a variable of the environment says, else what is usual.
pub fn number((name, usual): (&str, u32)) -> anyhow::Result<u32> {
    let set = std::env::var(name).ok();
    set.map_or(Ok(usual), |text| text.parse().with_context(|| format!("{name}={text} is no number")))
}
