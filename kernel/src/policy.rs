//! A room's policy: how many, how fast, for how long, in which lanes.

use serde::{Deserialize, Serialize};

use crate::words::{LaneName, Timestamp};

/// Travels in events: fields of a later version are no fault here. Who writes one is held to its own form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Active visitors at most (bank teller).
    pub capacity: u64,
    /// Visitors called a minute at most (amusement park).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admit_per_minute: Option<u64>,
    /// Seconds an admitted visitor has, from the claim.
    pub active_seconds: u64,
    /// Seconds from the claim beyond which no renewal goes.
    pub max_session_seconds: u64,
    /// Seconds a called visitor has to show up.
    pub claim_seconds: u64,
    /// Seconds a waiting visitor may be away.
    pub grace_seconds: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_waiting: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<Timestamp>,
    /// How those who came before the opening are ordered.
    pub prequeue: PrequeueOrder,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lanes: Vec<LanePolicy>,
    /// Where an admitted visitor is sent: an absolute http(s) URL or a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub go_to: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrequeueOrder {
    Fifo,
    Lottery,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanePolicy {
    pub name: LaneName,
    /// Share of the admissions while others wait too.
    pub weight: u32,
}

/// Which field is wrong, and what would be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {wants}")]
pub struct BadPolicy {
    pub field: &'static str,
    pub wants: &'static str,
}

const DAY: u64 = 86_400;
/// Upper bound of counts, far above any crowd, far below overflow.
const COUNT_MAX: u64 = 1_000_000_000;
const LANES_MAX: usize = 8;
const WEIGHT_MAX: u32 = 1_000;

impl Policy {
    /// Checks every field; a policy that passes can be applied to any room.
    pub fn check(&self) -> Result<(), BadPolicy> {
        let within = |field, value: u64, least, most, wants| {
            if (least..=most).contains(&value) { Ok(()) } else { Err(BadPolicy { field, wants }) }
        };
        within("capacity", self.capacity, 0, COUNT_MAX, "0 to 1,000,000,000 visitors")?;
        within("active_seconds", self.active_seconds, 1, DAY, "1 to 86,400 seconds")?;
        let session = "at least active_seconds, at most 604,800 seconds";
        within("max_session_seconds", self.max_session_seconds, self.active_seconds, 7 * DAY, session)?;
        within("claim_seconds", self.claim_seconds, 1, DAY, "1 to 86,400 seconds")?;
        within("grace_seconds", self.grace_seconds, 1, DAY, "1 to 86,400 seconds")?;
        if let Some(rate) = self.admit_per_minute {
            within("admit_per_minute", rate, 1, 60_000_000, "1 to 60,000,000 visitors a minute")?;
        }
        if let Some(most) = self.max_waiting {
            within("max_waiting", most, 0, COUNT_MAX, "0 to 1,000,000,000 visitors")?;
        }
        if let (Some(opens), Some(closes)) = (self.opens_at, self.closes_at)
            && closes <= opens
        {
            return Err(BadPolicy { field: "closes_at", wants: "a time after opens_at" });
        }
        self.check_lanes()?;
        self.check_go_to()
    }

    fn check_lanes(&self) -> Result<(), BadPolicy> {
        let wrong = |wants| Err(BadPolicy { field: "lanes", wants });
        if self.lanes.len() > LANES_MAX {
            return wrong("at most 8 lanes");
        }
        for (at, lane) in self.lanes.iter().enumerate() {
            if !(1..=WEIGHT_MAX).contains(&lane.weight) {
                return wrong("a weight is 1 to 1,000");
            }
            if self.lanes[..at].iter().any(|other| other.name == lane.name) {
                return wrong("a lane is named once");
            }
        }
        Ok(())
    }

    fn check_go_to(&self) -> Result<(), BadPolicy> {
        let Some(go_to) = &self.go_to else { return Ok(()) };
        let path = go_to.starts_with('/') && !go_to.starts_with("//");
        let url = go_to.starts_with("https://") || go_to.starts_with("http://");
        let clean =
            go_to.len() <= 2048 && !go_to.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\');
        if clean && (path || url) {
            Ok(())
        } else {
            Err(BadPolicy {
                field: "go_to",
                wants: "an http(s) URL or a path beginning with /, at most 2,048 characters",
            })
        }
    }

    /// The weight of a lane; a lane the policy no longer names drains with weight 1.
    pub fn weight(&self, lane: &LaneName) -> u32 {
        self.lanes.iter().find(|known| known.name == *lane).map_or(1, |known| known.weight)
    }

    /// Whether visitors can be in this lane at all.
    pub fn has_lane(&self, lane: &LaneName) -> bool {
        lane.is_default() || self.lanes.iter().any(|known| known.name == *lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::policy;

    #[test]
    fn each_wrong_field_is_named() {
        assert_eq!(policy(5).check(), Ok(()));
        type Spoil = fn(&mut Policy);
        let wrong: &[(&str, Spoil)] = &[
            ("capacity", |p| p.capacity = u64::MAX),
            ("active_seconds", |p| p.active_seconds = 0),
            ("max_session_seconds", |p| p.max_session_seconds = 299),
            ("claim_seconds", |p| p.claim_seconds = 0),
            ("grace_seconds", |p| p.grace_seconds = 90_000),
            ("admit_per_minute", |p| p.admit_per_minute = Some(0)),
            ("max_waiting", |p| p.max_waiting = Some(u64::MAX)),
            ("go_to", |p| p.go_to = Some("javascript:alert(1)".into())),
            ("go_to", |p| p.go_to = Some("//elsewhere".into())),
            ("lanes", |p| {
                let lane = LanePolicy { name: LaneName::default_lane(), weight: 1 };
                p.lanes = vec![lane.clone(), lane];
            }),
            ("closes_at", |p| {
                p.opens_at = Some(Timestamp::from_millis(5));
                p.closes_at = Some(Timestamp::from_millis(5));
            }),
        ];
        for (field, spoil) in wrong {
            let mut bad = policy(5);
            spoil(&mut bad);
            assert_eq!(bad.check().map_err(|bad| bad.field), Err(*field));
        }
    }
}
