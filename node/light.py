"""A light client that a program keeps: it trusts a genesis file, follows the chain's epochs, and believes no node.

Its whole memory is the newest header that it has verified and the keys that decide after it (``ledger.light_client``):
what is older is proved by that header's history, what is newer by a certificate. It asks any node for the headers
between, and two nodes that show it different chains make it find a fork (``ForkFound``).

A set that retired long ago could certify headers for a client that has not heard of its successors: follow often, and
keep the state in a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Protocol, TypeVar

from msgspec import Meta
from msgspec.structs import replace

from ledger.block import Header
from ledger.chain_proof import Inclusion, inclusion_codec
from ledger.document import from_document
from ledger.encoding import Codec, Record, digest
from ledger.errors import InvalidConfig, InvalidInput, InvalidProof, PeerMisbehaved, TidegateError
from ledger.genesis import Genesis
from ledger.keys import SignatureCache, key_text
from ledger.light_client import ClientState, TrustedHeader, check_conflict
from ledger.packet import HeaderProof
from ledger.proofs import Step, believe, check_descends, client_of, header_proof_codec, step_codec
from node.atomic_file import write_atomic

R = TypeVar("R", bound=Record)

REMEMBERED_SIGNATURES: Final = 1_024
"""So that many proofs from one block check its certificate once."""
FILE_VERSION: Final = 1
_MAX_FILE_BYTES: Final = 512 * 1024
_DIGEST_BYTES: Final = 32
_DIVERGING: Final = frozenset({"client_history_missing", "client_parent_wrong", "client_header_other", "proof_invalid"})
"""Refusals behind which another chain of the same validators may stand."""


class ForkFound(InvalidProof):
    """Two certified headers of one height: the chain has forked, and nothing of it can be believed any more.

    A quorum signed each, so that at least one more than the chain tolerates signed both. Whoever is named in
    ``data["signers"]`` did; some of them may have done so honestly, when a higher round had prepared another block.

    Attributes:
        first: the one that the client knew, with its certificate.
        second: the other, with its certificate.
        data: ``height``; ``signers``: key texts of those that signed both.
    """

    code = "chain_forked"

    def __init__(self, first: HeaderProof, second: HeaderProof) -> None:
        seals = [dict(proof.certificate.seals) if proof.certificate else {} for proof in (first, second)]
        both = sorted(key_text(key) for key in seals[0] if key in seals[1])
        height = first.header.height
        super().__init__(
            f"two certified blocks of height {height}; both signed by {', '.join(both)}", height=height, signers=both
        )
        self.first = first
        self.second = second


class ProofSource(Protocol):
    """A node that can be asked; ``node.client.Client`` is one."""

    async def call(self, method: str, params: dict[str, Any] | None = None, *, wait_s: float = 0.0) -> Any:
        """Result of an RPC method."""
        ...


class _Epochs(Record, frozen=True):
    steps: Annotated[tuple[bytes, ...], Meta(max_length=4_096)]
    complete: bool
    height: int


class ProvedAnswer(Record, frozen=True):
    """What ``proof.*`` methods answer; see ``node.rpc.proofs.Proved``."""

    kind: str
    proof: bytes
    back: bytes | None
    changes: int


class _Saved(Record, frozen=True):
    version: int
    genesis: Annotated[bytes, Meta(min_length=32, max_length=32)]
    client: ClientState
    proof: HeaderProof | None
    rival: HeaderProof | None


_saved_codec = Codec(_Saved, _MAX_FILE_BYTES, "light client file")


def genesis_header(genesis: Genesis) -> Header:
    """Header of the genesis block, made from the file as every node makes it: about 10 ms, and the contracts' import.

    Raises:
        InvalidGenesis: the file asks for contracts that this program does not have.
    """
    # They take a quarter of a second to import, which programs without a genesis file do without.
    from contracts.builtin import build_rules, genesis_block  # noqa: PLC0415
    from ledger.state import StoredState  # noqa: PLC0415
    from ledger.store_memory import MemoryStore  # noqa: PLC0415

    return genesis_block(genesis, build_rules(genesis), StoredState(MemoryStore()))[0]


class LightClient:
    """See the module.

    Args:
        genesis: from a source that is trusted.

    Raises:
        InvalidGenesis: the file asks for contracts that this program does not have.

    Attributes:
        genesis: as given.
        state: what is believed; immutable, replaced as the client goes on.
    """

    def __init__(self, genesis: Genesis) -> None:
        self.genesis = genesis
        self.state = client_of(genesis, genesis_header(genesis))
        self._proof: HeaderProof | None = None
        self._fork: ForkFound | None = None
        self._signatures = SignatureCache(REMEMBERED_SIGNATURES)

    @property
    def latest(self) -> TrustedHeader:
        """The newest verified header: height, time, block id."""
        return self.state.latest

    @property
    def height(self) -> int:
        """Of the newest verified header."""
        return self.state.latest.height

    @property
    def fork(self) -> ForkFound | None:
        """What ended this client's belief, or None."""
        return self._fork

    def verify_signature(self, key: bytes, message: bytes, signature: bytes) -> bool:
        """One signature, good ones remembered."""
        return self._signatures.verify(key, message, signature)

    def check_open(self) -> None:
        """Refuses to go on after a fork.

        Raises:
            ForkFound: one was found.
        """
        if self._fork is not None:
            raise self._fork

    def accept(self, step: Step, known: ClientState | None = None) -> ClientState:
        """Takes the client on to a header above the one that it knows.

        Args:
            step: the header, its certificate, its descent from the known one.
            known: what was believed when the step was asked for; now, when left out.

        Returns:
            What is believed with the header as the latest; ``state`` is that, or newer.

        Raises:
            InvalidProof, InvalidInput: as ``ledger.proofs.believe`` and ``check_descends``.
            ForkFound: the header contradicts the newest one.
        """
        self.check_open()
        before = self.state if known is None else known
        after = believe(before, step.proof, self.verify_signature)
        check_descends(before, step.proof.header, step.back)
        latest = self.state.latest
        if after.latest.height > latest.height:
            self.state, self._proof = after, step.proof
        elif after.latest.height == latest.height and after.latest.block_id != latest.block_id:
            self.report_conflict(step.proof)
        return after

    def report_conflict(self, rival: HeaderProof) -> None:
        """Checks a header of the latest one's height that is said to be of the same chain.

        Raises:
            ForkFound: it is certified and another one: this client believes nothing any more.
            InvalidProof, InvalidInput: it is not, so it says nothing.
        """
        own = self._proof
        if own is None:
            raise InvalidProof("nobody certifies the genesis block", code="client_no_conflict")
        keys = self.state.validators
        mine, other = replace(own, validators=keys), replace(rival, validators=keys, anchor_height=0, history=None)
        check_conflict(self.state, self.state.latest, mine, other, self.verify_signature)
        self._fork = ForkFound(mine, other)
        raise self._fork

    # --- asking nodes -----------------------------------------------------------------------------------------------

    async def follow(self, source: ProofSource) -> TrustedHeader:
        """Follows the chain to the node's newest header; returns it, or the newer one that was known.

        Work is bounded by the chain: each header that the node shows must be certified and change the set.

        Raises:
            PeerMisbehaved: the node shows what is not of the chain; ``code`` says what is wrong with it.
            ForkFound: two chains have the same validators' certificates.
            NotFound: ``node_behind``: the node knows less than this client.
            TidegateError: as ``call``.
        """
        self.check_open()
        known = await self.follow_changes(source)
        document = await source.call("proof.header", {"known_height": known.latest.height})
        answer = read_answer(document, ProvedAnswer)
        try:
            proof = header_proof_codec.decode(answer.proof)
            if proof.header.height > known.latest.height:
                self.accept(Step(proof, read_back(answer)), known)
            else:
                believe(known, proof, self.verify_signature)
        except InvalidInput as error:
            raise await self.judge(source, error) from error
        return self.state.latest

    async def follow_changes(self, source: ProofSource, steps: list[Step] | None = None) -> ClientState:
        """Follows the headers that change the set of validators, and no others.

        Args:
            source: a node.
            steps: takes the headers that were followed, in order, where they are to be kept.

        Raises:
            TidegateError: as ``follow``.
        """
        known = self.state
        while True:
            params = {"from_height": known.latest.height}
            answer = read_answer(await source.call("proof.epochs", params), _Epochs)
            try:
                for data in answer.steps:
                    step = _changing(step_codec.decode(data))
                    known = self.accept(step, known)
                    if steps is not None:
                        steps.append(step)
            except InvalidInput as error:
                raise await self.judge(source, error) from error
            if answer.complete:
                return known
            if not answer.steps:
                raise PeerMisbehaved("the node shows no header, and says that there are more", code="follow_stalled")

    async def judge(self, source: ProofSource, error: InvalidInput) -> InvalidInput | PeerMisbehaved:
        """What to raise for a proof that failed: a fork, if the node can show one, or the node's lie."""
        if isinstance(error, ForkFound):
            return error
        if error.code in _DIVERGING and self._proof is not None:
            latest = self.state.latest
            params = {"height": latest.height, "known_height": latest.height - 1}
            try:
                answer = read_answer(await source.call("proof.header", params), ProvedAnswer)
                self.report_conflict(header_proof_codec.decode(answer.proof))
            except ForkFound as fork:
                return fork
            except TidegateError:
                pass  # it shows no certified rival: then it only lied
        return PeerMisbehaved(f"the node's proof is wrong: {error.message}", code=error.code)

    # --- in a file --------------------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Writes what is believed to a file, whole or not at all.

        Raises:
            InvalidConfig: ``file_unwritable``.
        """
        rival = None if self._fork is None else self._fork.second
        data = _saved_codec.encode(_Saved(FILE_VERSION, self.genesis.hash, self.state, self._proof, rival))
        write_atomic(path, digest(b"tidegate/light", self.genesis.hash, data) + data, replace=True)

    @classmethod
    def load(cls, path: Path, genesis: Genesis) -> LightClient:
        """The client that ``save`` wrote.

        Raises:
            InvalidConfig: ``light_state_damaged``: delete the file and follow again; ``light_state_foreign``: it is of
                another genesis file; ``file_unreadable``.
        """
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_FILE_BYTES + _DIGEST_BYTES + 1)
        except OSError as error:
            raise InvalidConfig(f"cannot read {path}: {error.strerror}", code="file_unreadable") from error
        client, saved = cls(genesis), None
        try:
            saved = _saved_codec.decode(data[_DIGEST_BYTES:])
            client._restore(saved, data)
        except InvalidInput as error:
            if saved is not None and saved.genesis != genesis.hash:
                raise InvalidConfig(f"{path} is of another chain's genesis file", code="light_state_foreign") from error
            raise InvalidConfig(
                f"{path} is damaged ({error.message}); delete it and follow again", code="light_state_damaged"
            ) from error
        return client

    def _restore(self, saved: _Saved, data: bytes) -> None:
        if digest(b"tidegate/light", self.genesis.hash, data[_DIGEST_BYTES:]) != data[:_DIGEST_BYTES]:
            raise InvalidProof("the digest does not match")
        if saved.version != FILE_VERSION:
            raise InvalidProof(f"version {saved.version} is unknown")
        if saved.proof is None:
            if saved.client != self.state:
                raise InvalidProof("another beginning than the genesis file's")
            return
        self.state, self._proof = saved.client, saved.proof
        if saved.rival is not None:
            self._fork = ForkFound(saved.proof, saved.rival)


def _changing(step: Step) -> Step:
    header = step.proof.header
    if header.next_validators_hash == header.validators_hash:
        raise InvalidProof(f"header {header.height} does not change the set of validators", code="client_step_idle")
    return step


def read_back(answer: ProvedAnswer) -> Inclusion | None:
    """The descent that comes with a header above the known one.

    Raises:
        InvalidInput: it does not decode.
    """
    return None if answer.back is None else inclusion_codec.decode(answer.back)


def read_answer(document: Any, kind: type[R]) -> R:
    """A node's answer as a record.

    Raises:
        PeerMisbehaved: ``answer_malformed``.
    """
    try:
        return from_document(document, kind)
    except (InvalidInput, ValueError, TypeError) as error:
        raise PeerMisbehaved(f"the node's answer is not understood: {error}", code="answer_malformed") from error
