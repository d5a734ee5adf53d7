//! What each service asks of the world, given by one backing.

use std::sync::Arc;

use anyhow::Context;
use backend::clock::SystemClock;
use backend::entropy::SystemEntropy;
use client_channel::ChannelPorts;
use edge::AdminToken;
use edge::rooms::Rooms;
use kernel::pass::PassKey;
use kernel::ports::{Clock, DeadLetters, EventLog, Leases, Presence, Registry, ReservationStore, RoomStore};
use kernel::ticket::TicketKey;

use super::backing::Backing;
use super::secrets::Secrets;

pub struct Ports {
    store: Arc<dyn RoomStore>,
    registry: Arc<dyn Registry>,
    log: Arc<dyn EventLog>,
    dead_letters: Arc<dyn DeadLetters>,
    presence: Arc<dyn Presence>,
    leases: Arc<dyn Leases>,
    shop: Arc<dyn ReservationStore>,
    clock: Arc<dyn Clock>,
    tickets: TicketKey,
    passes: PassKey,
    admin: AdminToken,
}

impl Ports {
    pub fn over(backing: &Backing, secrets: &Secrets) -> anyhow::Result<Self> {
        let secret = secrets.secret.as_bytes();
        Ok(Self {
            store: backing.rooms(),
            registry: backing.registry(),
            log: backing.log(),
            dead_letters: backing.dead_letters(),
            presence: backing.presence(),
            leases: backing.leases(),
            shop: backing.shop(),
            clock: Arc::new(SystemClock),
            tickets: TicketKey::new(secret),
            passes: PassKey::new(secret).context("no keys can be made of the secret")?,
            admin: AdminToken::new(&secrets.admin_token),
        })
    }

    pub fn waiting_queue(&self) -> waiting_queue::Ports {
        waiting_queue::Ports {
            store: self.store.clone(),
            registry: self.registry.clone(),
            log: self.log.clone(),
            dead_letters: self.dead_letters.clone(),
            presence: self.presence.clone(),
            clock: self.clock.clone(),
            entropy: Arc::new(SystemEntropy),
            tickets: self.tickets.clone(),
            passes: self.passes.clone(),
            admin: self.admin.clone(),
        }
    }

    pub fn active_queue(&self) -> active_queue::Ports {
        active_queue::Ports {
            store: self.store.clone(),
            registry: self.registry.clone(),
            log: self.log.clone(),
            leases: self.leases.clone(),
            clock: self.clock.clone(),
            tickets: self.tickets.clone(),
        }
    }

    pub fn expiration(&self) -> expiration::Ports {
        expiration::Ports {
            store: self.store.clone(),
            registry: self.registry.clone(),
            log: self.log.clone(),
            presence: self.presence.clone(),
            clock: self.clock.clone(),
        }
    }

    pub fn client_channel(&self) -> ChannelPorts {
        ChannelPorts {
            store: self.store.clone(),
            registry: self.registry.clone(),
            log: self.log.clone(),
            presence: self.presence.clone(),
            clock: self.clock.clone(),
            tickets: self.tickets.clone(),
            passes: self.passes.clone(),
        }
    }

    pub fn reservation_api(&self) -> reservation_api::Ports {
        reservation_api::Ports {
            store: self.shop.clone(),
            rooms: self.store.clone(),
            registry: Rooms::new(self.registry.clone()),
            log: self.log.clone(),
            clock: self.clock.clone(),
            pass_key: self.passes.clone(),
            admin: self.admin.clone(),
        }
    }
}
