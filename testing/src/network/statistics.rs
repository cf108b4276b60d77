//! What has happened.

/// What has happened on a network so far: a count for each kind of fault, and for what went well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Connections that were made.
    pub connections: u64,
    /// Bytes that have arrived over connections.
    pub bytes: u64,
    /// Datagrams that have arrived.
    pub datagrams: u64,

    /// What took longer than the latency because of jitter.
    pub delayed: u64,
    /// What had to wait for bandwidth.
    pub throttled: u64,
    /// Datagrams that were lost by chance.
    pub lost: u64,
    /// Datagrams that arrived twice.
    pub duplicated: u64,
    /// Datagrams that were held back so that others overtake them.
    pub reordered: u64,
    /// Datagrams for which the receiver had no room.
    pub overflowed: u64,
    /// Datagrams to nobody.
    pub undeliverable: u64,
    /// Segments of connections that were lost by chance and sent again.
    pub retransmitted: u64,
    /// Datagrams that met a cut, and attempts of connections to get over one.
    pub cut: u64,
    /// Connections that were reset by chance or by hand.
    pub resets: u64,
    /// Connections whose one end was gone without a word: their host had lost power.
    pub half_open: u64,
    /// Segments for a connection that its host knows nothing of (any more): answered by a reset.
    pub unknown: u64,
    /// Writes that had to wait for the reader.
    pub stalled: u64,
    /// Attempts to connect where nobody listens.
    pub refused: u64,
    /// Attempts to connect that found the line of those who wait for `accept` full.
    pub backlogged: u64,
    /// Connections, or attempts to connect, that were given up because no answer came.
    pub timed_out: u64,
    /// Sockets that could not be had because the descriptors of the host were used up.
    pub out_of_descriptors: u64,
    /// Calls that a storm has interrupted.
    pub interrupted: u64,
    /// Calls that a storm has put off.
    pub blocked: u64,
    /// Calls that went through in part, by a storm.
    pub partial: u64,
    /// Names that were not resolved.
    pub unresolved: u64,
    /// Processes that have died.
    pub crashes: u64,
    /// Hosts that have lost power.
    pub power_losses: u64,
}
