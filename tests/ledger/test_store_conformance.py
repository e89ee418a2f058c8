"""What every store must do: one suite over both implementations, and a model that says what is right."""

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.errors import LocalMisuse
from ledger.store_leveldb import LevelStore
from ledger.store_memory import MemoryStore, prefix_end

RECORDS = {b"s" + bytes([a, b]): b"v%d.%d" % (a, b) for a in (0, 1, 254, 255) for b in (0, 7, 255)}


@pytest.fixture
def store(make_store):
    return make_store()


@pytest.fixture
def filled(store):
    store.write(RECORDS | {b"r": b"before", b"t": b"after", b"\xff\xff": b"last"})
    return store


def reopen_copy(kind, path):
    return MemoryStore.open_copy(path) if kind == "memory" else LevelStore(path, create=False)


def test_missing_key_reads_as_none(store):
    assert store.get(b"nothing") is None


def test_written_values_are_read_back_empty_and_large_ones_too(store):
    values = {b"a": b"", b"b": b"\x00", b"c": bytes(range(256)) * 20_000, b"d" * 3_000: b"long key"}
    store.write(values)
    for key, value in values.items():
        assert store.get(key) == value
    assert dict(store.iterate(b"")) == values
    assert store.verify() == len(values)


def test_overwriting_and_deleting(filled):
    key = b"s\x00\x00"
    filled.write({key: b"second"})
    assert filled.get(key) == b"second"
    filled.write({key: None, b"never there": None})
    assert filled.get(key) is None
    assert key not in dict(filled.iterate(b""))
    filled.write({key: b"third"}, sync=False)
    assert filled.get(key) == b"third"


def test_empty_batch_changes_nothing(filled):
    before = list(filled.iterate(b""))
    filled.write({})
    filled.write({}, sync=False)
    assert list(filled.iterate(b"")) == before


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("prefix", [b"", b"s", b"s\x01", b"s\xff", b"s\xff\xff", b"\xff", b"\xff\xff", b"q", b"zz"])
@pytest.mark.parametrize("limit", [None, 0, 1, 4, 1_000])
def test_iteration_gives_the_keys_of_a_prefix_in_order(filled, prefix, reverse, limit):
    everything = sorted((RECORDS | {b"r": b"before", b"t": b"after", b"\xff\xff": b"last"}).items())
    expected = [pair for pair in everything if pair[0].startswith(prefix)]
    if reverse:
        expected.reverse()
    assert list(filled.iterate(prefix, reverse=reverse, limit=limit)) == expected[:limit]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "start",
    [b"", b"a", b"r", b"s", b"s\x01\x07", b"s\x01\x08", b"s\xfe\xff", b"s\xff\xff", b"s\xff\xff\x00", b"t", b"\xff"],
)
def test_iteration_starts_inclusively_at_start_in_either_direction(filled, start, reverse):
    expected = [pair for pair in sorted(RECORDS.items()) if (pair[0] <= start if reverse else pair[0] >= start)]
    if reverse:
        expected.reverse()
    assert list(filled.iterate(b"s", start=start, reverse=reverse)) == expected


def test_iteration_sees_the_records_as_they_were_when_it_began(filled):
    running = filled.iterate(b"s")
    first = next(running)
    filled.write(dict.fromkeys(RECORDS) | {b"s\x00\x01": b"new"})
    assert [first, *running] == sorted(RECORDS.items())
    assert list(filled.iterate(b"s")) == [(b"s\x00\x01", b"new")]


def test_iteration_may_be_left_early(filled):
    for _ in range(200):
        next(filled.iterate(b"s"))
    filled.write({b"s": b"still writable"})


def test_snapshot_does_not_see_later_writes(filled):
    view = filled.snapshot()
    before = list(view.iterate(b""))
    filled.write({b"s\x00\x00": b"changed", b"s\x00\x07": None, b"s\x00\x01": b"new"})
    second = filled.snapshot()
    assert view.get(b"s\x00\x00") == b"v0.0"
    assert view.get(b"s\x00\x01") is None
    assert list(view.iterate(b"")) == before
    assert second.get(b"s\x00\x00") == filled.get(b"s\x00\x00") == b"changed"
    assert list(view.iterate(b"s", reverse=True, limit=1)) == [(b"s\xff\xff", b"v255.255")]
    view.close()
    second.close()


def test_closed_snapshot_is_local_misuse(filled):
    view = filled.snapshot()
    view.close()
    view.close()
    with pytest.raises(LocalMisuse):
        view.get(b"t")
    with pytest.raises(LocalMisuse):
        list(view.iterate(b""))
    assert filled.get(b"t") == b"after"


def test_closed_store_is_local_misuse_and_closing_twice_is_harmless(filled):
    filled.close()
    filled.close()
    for use in (
        lambda: filled.get(b"t"),
        lambda: list(filled.iterate(b"")),
        lambda: filled.write({b"a": b"b"}),
        filled.snapshot,
        filled.verify,
    ):
        with pytest.raises(LocalMisuse):
            use()


def test_copy_holds_what_the_store_held_and_lives_on_its_own(filled, kind, tmp_path):
    path = str(tmp_path / "copy")
    before = list(filled.iterate(b""))
    filled.checkpoint_copy(path)
    filled.write({b"s\x00\x00": b"later"})
    copy = reopen_copy(kind, path)
    assert list(copy.iterate(b"")) == before
    copy.write({b"new": b"value"})
    assert filled.get(b"new") is None
    assert copy.verify() == len(before) + 1
    copy.close()


def test_copy_onto_something_is_refused(filled, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(LocalMisuse):
        filled.checkpoint_copy(str(tmp_path / "there"))


def test_reads_beside_a_write_see_all_of_a_batch_or_nothing(store):
    keys = [b"s%03d" % i for i in range(300)]
    store.write(dict.fromkeys(keys, b"0"))
    stop = threading.Event()
    torn = []

    def read():
        while not stop.is_set():
            view = store.snapshot()
            if len({value for _, value in view.iterate(b"s")}) != 1:
                torn.append(True)
            view.close()

    # MemoryStore serves one thread at a time; simulation has no others.
    if isinstance(store, LevelStore):
        thread = threading.Thread(target=read)
        thread.start()
        for turn in range(60):
            store.write(dict.fromkeys(keys, b"%d" % turn), sync=turn % 10 == 0)
        stop.set()
        thread.join()
    assert not torn


@pytest.mark.parametrize(
    ("prefix", "end"), [(b"", None), (b"a", b"b"), (b"a\xff", b"b"), (b"\xff\xff", None), (b"a\x00", b"a\x01")]
)
def test_prefix_end(prefix, end):
    assert prefix_end(prefix) == end


KEY = st.binary(min_size=0, max_size=3).map(lambda tail: b"s" + tail)
BATCH = st.dictionaries(KEY, st.none() | st.binary(max_size=6), max_size=6)
READ = st.tuples(
    st.binary(max_size=2).map(lambda tail: b"s" + tail), st.none() | KEY, st.none() | st.integers(0, 5), st.booleans()
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(BATCH, st.booleans(), READ), max_size=12))
def test_store_behaves_as_a_sorted_dict(make_store, kind, steps):
    store = make_store("model")
    if kind == "leveldb":
        store.write(dict.fromkeys(key for key, _ in store.iterate(b"")))
    model, views = {}, []
    for batch, take, (prefix, start, limit, reverse) in steps:
        store.write(batch, sync=False)
        model = {key: value for key, value in (model | batch).items() if value is not None}
        if take:
            views.append((store.snapshot(), model))
        for reader, expected in [(store, model), *views]:
            found = sorted(pair for pair in expected.items() if pair[0].startswith(prefix))
            if start is not None:
                found = [pair for pair in found if (pair[0] <= start if reverse else pair[0] >= start)]
            if reverse:
                found.reverse()
            assert list(reader.iterate(prefix, start=start, limit=limit, reverse=reverse)) == found[:limit]
            for key in batch:
                assert reader.get(key) == expected.get(key)
    for view, _ in views:
        view.close()
    store.close()
