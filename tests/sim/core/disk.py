"""The signer log of a simulated node: what was synced survives a crash, of the rest a part from the front."""

from __future__ import annotations

from collections.abc import Callable

from consensus.records import PreparedBlock, SignedVote, SignerRecord, record_codec


class Disk:
    """Records in order.

    Attributes:
        synced: durable ones.
        written: not yet.
        votes: (kind, height, round) to the durable vote there.
        locks: (height, round) to the durable prepared block of that place.
    """

    __slots__ = ("locks", "synced", "votes", "written")

    def __init__(self) -> None:
        self.synced: list[SignerRecord] = []
        self.written: list[SignerRecord] = []
        self.votes: dict[tuple[int, int, int], SignedVote] = {}
        self.locks: dict[tuple[int, int], PreparedBlock] = {}

    def write(self, record: SignerRecord) -> None:
        """Appends; not durable."""
        self.written.append(record)

    def sync(self) -> None:
        """Makes everything written durable."""
        for record in self.written:
            self.synced.append(record)
            self._note(record)
        self.written.clear()

    def _note(self, record: SignerRecord) -> None:
        if type(record) is SignedVote:
            self.votes[record.kind, record.height, record.round] = record
        elif type(record) is PreparedBlock:
            self.locks[record.height, record.certificate.round] = record

    def lock_below(self, height: int, round_: int) -> PreparedBlock | None:
        """The durable lock of the highest round below ``round_`` of ``height``."""
        rounds = [place[1] for place in self.locks if place[0] == height and place[1] < round_]
        return self.locks[height, max(rounds)] if rounds else None

    def crash(self, random: Callable[[], float]) -> bool:
        """Power is lost: of what was not synced a part stays, and the next record is torn. True when one was."""
        if not self.written:
            return False
        kept = int(random() * (len(self.written) + 1))
        torn = kept < len(self.written)
        del self.written[kept:]
        self.sync()
        return torn

    def replace(self, records: list[SignerRecord]) -> None:
        """An old backup: the whole content, durable."""
        self.synced = list(records)
        self.written.clear()
        self.votes.clear()
        self.locks.clear()
        for record in records:
            self._note(record)

    def compact(self, records: list[SignerRecord]) -> None:
        """As ``replace``; what was durable once is still known to the oracle."""
        votes, locks = self.votes, self.locks
        self.votes, self.locks = {}, {}
        self.replace(records)
        newest = max((height for _, height, _ in self.votes), default=0)
        self.votes = {place: vote for place, vote in votes.items() if place[1] >= newest} | self.votes
        self.locks = {place: lock for place, lock in locks.items() if place[0] >= newest} | self.locks

    def read(self) -> list[SignerRecord]:
        """What a start finds: decoded from the bytes that were written."""
        return [record_codec.decode(record_codec.encode(record)) for record in self.synced]
