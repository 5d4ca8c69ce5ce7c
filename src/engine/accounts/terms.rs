//! The bounds on what is counted across connections, as the operator has chosen them.

use super::bans::BanTerms;
use crate::engine::limits::Limits;

/// All of them. 0 is no bound, but of the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Connections of the broker.
    pub connections_max: u64,
    /// Connections a second of the broker.
    pub connect_rate: u32,
    /// What one address may have.
    pub address: Bounds,
    /// What one user may have.
    pub user: Bounds,
    /// Sessions of one user.
    pub sessions_per_user_max: u32,
    /// Retained messages of one user.
    pub retained_per_user_max: u64,
    /// Their bytes.
    pub retained_bytes_per_user_max: u64,
    /// Whether it is known whose retained messages are also where nothing bounds them: they are only told to others.
    pub are_owners_kept: bool,
    /// Bounds of the listeners, by their numbers; those behind the last one have none.
    pub listeners: Vec<ListenerTerms>,
    /// When an address is banned.
    pub bans: BanTerms,
    /// How many addresses are counted at the same time, and how many users beside them.
    pub accounts_max: usize,
}

/// What one address or one user may have; 0 is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Connections.
    pub connections_max: u32,
    /// Connections a second.
    pub connect_rate: u32,
    /// Messages a second that come in.
    pub message_rate: u32,
    /// Bytes of them a second.
    pub byte_rate: u32,
    /// Messages a second that go out.
    pub message_rate_out: u32,
    /// Bytes of them a second.
    pub byte_rate_out: u32,
}

/// Which way messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From a client.
    In,
    /// To a client.
    Out,
}

/// What is bounded of one listener; 0 is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerTerms {
    /// Connections.
    pub connections_max: u64,
    /// Connections a second.
    pub connect_rate: u32,
    /// Connections from one address.
    pub connections_per_address_max: u32,
    /// A proxy says who comes: before that nobody knows an address, and the proxy's own is not counted.
    pub is_proxied: bool,
}

impl Bounds {
    /// Whether there is one.
    pub fn is_any(self) -> bool {
        self != Self::default()
    }

    /// Messages and bytes a second that go this way.
    pub fn rates(self, way: Way) -> [u32; 2] {
        match way {
            Way::In => [self.message_rate, self.byte_rate],
            Way::Out => [self.message_rate_out, self.byte_rate_out],
        }
    }

    /// Whether there is a bound on what goes this way.
    pub fn is_metered(self, way: Way) -> bool {
        self.rates(way) != [0; 2]
    }
}

impl Terms {
    /// Those of these limits; listeners have none of their own, and nobody is banned.
    pub fn of(limits: &Limits) -> Self {
        Self {
            connections_max: limits.connections_max as u64,
            connect_rate: limits.connect_rate,
            address: Bounds {
                connections_max: limits.connections_per_address_max,
                connect_rate: limits.connect_rate_per_address,
                message_rate: limits.message_rate_per_address,
                byte_rate: limits.byte_rate_per_address,
                message_rate_out: limits.message_rate_out_per_address,
                byte_rate_out: limits.byte_rate_out_per_address,
            },
            user: Bounds {
                connections_max: limits.connections_per_user_max,
                connect_rate: limits.connect_rate_per_user,
                message_rate: limits.message_rate_per_user,
                byte_rate: limits.byte_rate_per_user,
                message_rate_out: limits.message_rate_out_per_user,
                byte_rate_out: limits.byte_rate_out_per_user,
            },
            sessions_per_user_max: limits.sessions_per_user_max,
            retained_per_user_max: u64::from(limits.retained_messages_per_user_max),
            retained_bytes_per_user_max: limits.retained_bytes_per_user_max,
            are_owners_kept: false,
            listeners: Vec::new(),
            bans: BanTerms::default(),
            accounts_max: limits.accounts_max,
        }
    }

    /// The same with bounds of listeners.
    #[must_use]
    pub fn with_listeners(self, listeners: Vec<ListenerTerms>) -> Self {
        Self { listeners, ..self }
    }

    /// The same with bans.
    #[must_use]
    pub fn with_bans(self, bans: BanTerms) -> Self {
        Self { bans, ..self }
    }

    /// The same, and it is known whose retained messages are, whatever bounds them.
    #[must_use]
    pub fn with_owners(self) -> Self {
        Self { are_owners_kept: true, ..self }
    }

    /// Whether addresses are counted at all.
    pub fn counts_addresses(&self) -> bool {
        self.address.is_any()
            || self.bans.failures_max > 0
            || self.listeners.iter().any(|listener| listener.connections_per_address_max > 0)
    }

    /// Whether users are.
    pub fn counts_users(&self) -> bool {
        self.user.is_any() || self.sessions_per_user_max > 0 || self.counts_retained()
    }

    /// Whether retained messages of users are.
    pub fn counts_retained(&self) -> bool {
        self.retained_per_user_max > 0 || self.retained_bytes_per_user_max > 0
    }

    /// What is bounded of this listener.
    pub fn listener(&self, number: u16) -> ListenerTerms {
        self.listeners.get(usize::from(number)).copied().unwrap_or_default()
    }
}
