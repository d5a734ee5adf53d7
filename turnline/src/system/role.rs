//! The five services by name, as `turnline serve` takes them.

use backend::entropy::SystemEntropy;
use kernel::ports::Entropy;
use kernel::words::hex;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    WaitingQueue,
    ActiveQueue,
    Expiration,
    ClientChannel,
    ReservationApi,
}

impl Role {
    pub const ALL: [Self; 5] =
        [Self::WaitingQueue, Self::ActiveQueue, Self::Expiration, Self::ClientChannel, Self::ReservationApi];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WaitingQueue => "waiting-queue",
            Self::ActiveQueue => "active-queue",
            Self::Expiration => "expiration",
            Self::ClientChannel => "client-channel",
            Self::ReservationApi => "reservation-api",
        }
    }

    /// Whether a process of this service helps to carry rooms' events to the log.
    pub const fn relays(self) -> bool {
        match self {
            Self::WaitingQueue | Self::ActiveQueue => true,
            Self::Expiration | Self::ClientChannel | Self::ReservationApi => false,
        }
    }
}

/// Names this process among the nodes; no two ever share a name.
pub fn node_name(roles: &[Role]) -> String {
    let what = match roles {
        [role] => role.as_str(),
        _ => "up",
    };
    format!("{what}-{}-{}", std::process::id(), hex(&SystemEntropy.bytes()[..4]))
}
