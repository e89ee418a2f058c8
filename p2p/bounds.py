"""Every limit of the overlay, each with its reason. What happens at a limit is written where it is applied."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TransportBounds:
    """Limits of one transport; the defaults suit a chain of some dozen nodes. Sizes in bytes, times in seconds."""

    frame_max_bytes: int = 4 << 20
    """Largest payload of a BULK message, a request or an answer: a block or a batch; sync chunks stay under 1 MB."""
    control_max_bytes: int = 256
    """Largest payload of a ping, a ready mark or a refusal on the request stream: an id and a code."""
    coalesce_bytes: int = 64 << 10
    """Small frames are written together up to this size: one Yamux frame, one Noise message (30 times the rate)."""
    write_batch_bytes: int = 256 << 10
    """Of a large frame, so much is written in one system call; a vote waits for no more than this (under 1 ms)."""
    read_bytes: int = 128 << 10
    """One read from a socket."""
    stream_read_bytes: int = 256 << 10
    """One read from a lane; its frames are handled before the loop is given back."""

    vote_queue_bytes: int = 8 << 20
    """Outgoing VOTE queue of one peer: some proposals of the largest size and thousands of votes."""
    bulk_queue_bytes: int = 32 << 20
    """Outgoing BULK queue of one peer: eight frames of the largest size. A peer that is further behind is dropped."""
    request_queue_bytes: int = 32 << 20
    """Outgoing requests and answers of one peer, as for BULK."""
    window_max_bytes: int = 4 << 20
    """Yamux receive window of one stream, which also bounds what a peer can make us buffer; the library's is 16 MB."""
    streams_per_peer: int = 16
    """Streams a peer may have open towards us: three lanes, ping, identify, and some to spare."""

    requests_out_per_peer: int = 128
    """Own requests waiting for one peer; more are refused here with PeerUnavailable."""
    requests_in_per_peer: int = 256
    """Requests of one peer being answered; more are answered with the code ``overloaded``.

    Twice what an honest peer has waiting: those that it has given up on are still being answered.
    """
    requests_in_bytes: int = 16 << 20
    """The same in bytes of the requests: they stay in memory while they are answered."""

    peers_max: int = 256
    """Connected peers; more are refused. A permissioned chain has some dozen nodes."""
    half_open_per_address: int = 32
    """Connections of one IP address that have not finished their handshake; the oldest gives way to the newest."""
    half_open_total: int = 128
    """The same over all addresses: a flood costs about 100 KB each, and cannot lock out honest peers for long."""
    accepts_per_s: float = 50.0
    """Connections a second that one IP address may make: a handshake costs some milliseconds before it is refused."""
    accepts_burst: int = 250
    """The same at once: several nodes behind one address that restart together."""
    accept_addresses_max: int = 4096
    """IP addresses whose rate is remembered: 600 KB."""
    handshake_timeout_s: float = 5.0
    """From accepted or dialled to ready; an honest handshake takes about 20 ms and six round trips."""
    handshake_max_bytes: int = 64 << 10
    """What is read from a peer before it has proved its identity: multistream-select and Noise need under 2 KB."""
    stream_timeout_s: float = 5.0
    """To negotiate the protocol of one stream."""

    ping_interval_s: float = 2.0
    """How often silence is looked for, and a ping sent."""
    ping_misses: int = 2
    """Intervals in a row without a single byte from the peer, after which it is dropped: noticed within 4 to 6 s."""
    write_stall_s: float = 10.0
    """A single write of at most one frame or ``coalesce_bytes`` may take this long: 400 KB/s at the worst."""
    drain_timeout_s: float = 0.5
    """How long ``stop`` waits for the queues to empty."""

    redial_min_s: float = 0.1
    """First pause after a failed dial; doubles, with up to half of it as jitter."""
    redial_max_s: float = 5.0
    """Longest pause between dials: a peer that comes back is reached within this time."""
    redial_reset_s: float = 5.0
    """A connection that lasted this long resets the pause; a shorter one does not, or a refusing peer is hammered."""
    dial_grace_s: float = 0.2
    """How long the peer with the higher id waits for the lower one to dial, before it dials itself."""
    race_window_s: float = 5.0
    """Two connections of one pair that are both younger were made at the same time: the lower id's dial is kept."""

    penalty_min_s: float = 2.0
    """First penalty of a peer; doubles with every further one."""
    penalty_max_s: float = 300.0
    """Longest penalty: a node that was mended comes back by itself."""
    penalty_memory_s: float = 1800.0
    """After so long without a new penalty a peer starts again at the first."""
    penalties_max: int = 1024
    """Peers whose penalties are remembered; the oldest is forgotten first. Only admitted peers get in at all."""

    rebuilds_in_a_row: int = 5
    """Overlay failures in a row that the watchdog answers with a rebuild; the next one is final."""
    rebuild_pause_s: float = 0.2
    """Pause before the first rebuild; doubles."""
    rebuild_reset_s: float = 60.0
    """An overlay that lived this long starts the count again."""


@dataclass(frozen=True, slots=True)
class GossipBounds:
    """Limits of the gossip. Sizes in bytes, times in seconds."""

    push_max_bytes: int = 64 << 10
    """Larger items are announced and fetched: useless copies of a small item are cheap, of a block they are not."""
    item_max_bytes: int = (4 << 20) - 4096
    """Largest item: it must fit a frame together with its header."""
    fan_out: int = 8
    """Peers that one node pushes a BULK item to, chosen by item, so that different items take different ways.

    The others are told its id at once. Votes go to all.
    """
    covered_max: int = 128
    """Peers that a pushed item names as having it already (8 bytes each); more are not named."""
    seen_max: int = 200_000
    """Remembered item ids; the oldest are forgotten first. About 150 bytes each: 30 MB."""
    seen_age_s: float = 300.0
    """How long an id is remembered: longer than an item can travel."""
    recent_max_bytes: int = 16 << 20
    """Accepted items kept to answer fetches and to offer to new peers, over all topics; the oldest leave first."""
    recent_max_items: int = 4096
    """The same, counted."""
    recent_age_s: float = 30.0
    """How long an accepted item is kept: a peer that connects later learns it by synchronising."""
    lazy_s: float = 1.0
    """How long after a push its id is told to peers not known to have it: mends lost frames and false claims."""
    serves_per_peer: int = 2
    """How often one peer is given one item that it asks for; more is ignored."""
    undecided_max_bytes: int = 32 << 20
    """Delivered items that wait for ``report``; at the limit the oldest counts as ignored."""
    undecided_max_items: int = 4096
    """The same, counted."""
    fetching_max: int = 256
    """Items being fetched; further announcements are not remembered (another peer's will come, or synchronising)."""
    fetches_per_peer: int = 64
    """Of these, items that one peer announced first: one peer cannot take all the places."""
    announcers_max: int = 8
    """Peers remembered per item being fetched, tried one after the other."""
    fetch_timeout_s: float = 3.0
    """After this the next announcer is asked: 4 MB at 1.4 MB/s."""
    entries_max: int = 1024
    """Ids in one announcement or fetch; more is misbehaviour. An offer to a new peer has at most as many."""

    @property
    def push_overhead_bytes(self) -> int:
        """Bytes that a PUSH may have besides its item: topic, count, short peer ids."""
        return 2 + 8 * self.covered_max
