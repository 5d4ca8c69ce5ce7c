//! Which bound somebody has met that counts more than one connection.

use crate::mqtt::Reason;

/// A bound on what is counted across connections and shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum SharedLimit {
    /// The address is banned for a while.
    Ban,
    /// Connections of the broker.
    Connections,
    /// Connections a second of the broker.
    ConnectRate,
    /// Connections of the listener.
    ListenerConnections,
    /// Connections a second of the listener.
    ListenerConnectRate,
    /// Connections of the listener from one address.
    ListenerConnectionsPerAddress,
    /// Connections from one address.
    ConnectionsPerAddress,
    /// Connections a second from one address.
    ConnectRatePerAddress,
    /// Connections of one user.
    ConnectionsPerUser,
    /// Connections a second of one user.
    ConnectRatePerUser,
    /// Sessions of one user.
    SessionsPerUser,
    /// Messages a second from one address.
    MessageRatePerAddress,
    /// Bytes a second from one address.
    ByteRatePerAddress,
    /// Messages a second of one user.
    MessageRatePerUser,
    /// Bytes a second of one user.
    ByteRatePerUser,
    /// Messages a second to one address.
    MessageRateOutPerAddress,
    /// Bytes a second to one address.
    ByteRateOutPerAddress,
    /// Messages a second to one user.
    MessageRateOutPerUser,
    /// Bytes a second to one user.
    ByteRateOutPerUser,
    /// Retained messages of one user.
    RetainedMessagesPerUser,
    /// Bytes of retained messages of one user.
    RetainedBytesPerUser,
}

impl SharedLimit {
    /// Every one, in the order of their numbers.
    pub const ALL: [Self; 21] = [
        Self::Ban,
        Self::Connections,
        Self::ConnectRate,
        Self::ListenerConnections,
        Self::ListenerConnectRate,
        Self::ListenerConnectionsPerAddress,
        Self::ConnectionsPerAddress,
        Self::ConnectRatePerAddress,
        Self::ConnectionsPerUser,
        Self::ConnectRatePerUser,
        Self::SessionsPerUser,
        Self::MessageRatePerAddress,
        Self::ByteRatePerAddress,
        Self::MessageRatePerUser,
        Self::ByteRatePerUser,
        Self::MessageRateOutPerAddress,
        Self::ByteRateOutPerAddress,
        Self::MessageRateOutPerUser,
        Self::ByteRateOutPerUser,
        Self::RetainedMessagesPerUser,
        Self::RetainedBytesPerUser,
    ];

    /// The name in metrics: that of the key, with the listener's in front where it is one of a listener.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ban => "ban",
            Self::Connections => "connections_max",
            Self::ConnectRate => "connect_rate",
            Self::ListenerConnections => "listener_connections_max",
            Self::ListenerConnectRate => "listener_connect_rate",
            Self::ListenerConnectionsPerAddress => "listener_connections_per_address_max",
            Self::ConnectionsPerAddress => "connections_per_address_max",
            Self::ConnectRatePerAddress => "connect_rate_per_address",
            Self::ConnectionsPerUser => "connections_per_user_max",
            Self::ConnectRatePerUser => "connect_rate_per_user",
            Self::SessionsPerUser => "sessions_per_user_max",
            Self::MessageRatePerAddress => "message_rate_per_address",
            Self::ByteRatePerAddress => "byte_rate_per_address",
            Self::MessageRatePerUser => "message_rate_per_user",
            Self::ByteRatePerUser => "byte_rate_per_user",
            Self::MessageRateOutPerAddress => "message_rate_out_per_address",
            Self::ByteRateOutPerAddress => "byte_rate_out_per_address",
            Self::MessageRateOutPerUser => "message_rate_out_per_user",
            Self::ByteRateOutPerUser => "byte_rate_out_per_user",
            Self::RetainedMessagesPerUser => "retained_messages_per_user_max",
            Self::RetainedBytesPerUser => "retained_bytes_per_user_max",
        }
    }

    /// What a client hears of it, where it hears anything.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Ban => Reason::Banned,
            Self::ConnectRate
            | Self::ListenerConnectRate
            | Self::ConnectRatePerAddress
            | Self::ConnectRatePerUser
            | Self::MessageRatePerAddress
            | Self::ByteRatePerAddress
            | Self::MessageRatePerUser
            | Self::ByteRatePerUser
            | Self::MessageRateOutPerAddress
            | Self::ByteRateOutPerAddress
            | Self::MessageRateOutPerUser
            | Self::ByteRateOutPerUser => Reason::ConnectionRateExceeded,
            Self::Connections
            | Self::ListenerConnections
            | Self::ListenerConnectionsPerAddress
            | Self::ConnectionsPerAddress
            | Self::ConnectionsPerUser
            | Self::SessionsPerUser
            | Self::RetainedMessagesPerUser
            | Self::RetainedBytesPerUser => Reason::QuotaExceeded,
        }
    }
}

/// How often each was met. One per shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedLimitsReached([u64; SharedLimit::ALL.len()]);

impl SharedLimitsReached {
    /// Once more.
    pub fn count(&mut self, limit: SharedLimit) {
        self.0[limit as usize] += 1;
    }

    /// How often it was.
    pub fn of(&self, limit: SharedLimit) -> u64 {
        self.0[limit as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbered_as_they_are_listed_and_each_has_a_name_of_its_own() {
        for (number, limit) in SharedLimit::ALL.iter().enumerate() {
            assert_eq!(*limit as usize, number);
            assert!(SharedLimit::ALL[..number].iter().all(|other| other.name() != limit.name()));
        }
    }
}
