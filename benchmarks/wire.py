"""The wire beside its peers: `python -m benchmarks.wire [--quick] [--cells A,B] [--state FILE]`.

Prints one JSON object: figures, peers' figures of the same run, their ratios, the targets with
their verdicts, and the raw rows. With `--state` a cell that was measured is not measured again.
Processor times include libzmq's threads. Ours and the peer take turns.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio

from benchmarks.wire_peers import Cutter, bare_decisions, bare_ingest
from benchmarks.wire_processes import STATIONS, plain_endpoint
from robots.wire import codec, envelopes
from robots.wire import commands as c
from robots.wire.client import Client
from robots.wire.clock import SystemClock
from robots.wire.endpoints import command_endpoint, socket_path
from robots.wire.events import EpisodeStarted
from robots.wire.journal import SqliteJournal
from robots.wire.keys import load_keypair, load_public, provision
from robots.wire.records import Role
from robots.wire.sockets import LinkTimes
from robots.wire.transport import ZmqTransport

Row = dict[str, Any]

TURN = 25  # Round trips before the other's turn: what else the machine does meets both alike.


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@contextmanager
def process(role: str, home: Path, *numbers: float) -> Generator[Row]:
    """A measured process; what it prints first is yielded."""
    argv = [sys.executable, "-m", "benchmarks.wire_processes", role, str(home)]
    child = subprocess.Popen(
        [*argv, *(str(number) for number in numbers)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        yield json.loads(line) if line else {}
    finally:
        child.kill()
        child.wait(10)
        if child.stdout is not None:
            child.stdout.close()


def first_line(role: str, home: Path, *numbers: float) -> Row:
    """What a process that measures itself found."""
    with process(role, home, *numbers) as found:
        return found


def new_home() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="wire-")
    stations: dict[str, Role | None] = {f"s{n}": None for n in range(STATIONS)}
    provision(Path(folder.name), {**stations, "viewer": Role.VIEWER, "sup": Role.SUPERVISOR})
    return folder


async def round_trip(quick: bool) -> Row:
    """A command with all its checks against a bare pair that sends bytes to and fro."""
    blocks, count = (4, 500) if quick else (12, 1500)
    ours: list[float] = []
    peer: list[float] = []
    rows: list[Row] = []
    with new_home() as folder:
        home = Path(folder)
        with process("serve", home), process("serve_plain", home):
            client = ZmqTransport(home, SystemClock()).client("sup", "s0")
            await client.hello(20)
            keys = load_keypair(home, "sup")
            plain = zmq.asyncio.Context.instance().socket(zmq.DEALER)
            plain.setsockopt(zmq.LINGER, 0)
            plain.setsockopt(zmq.CURVE_SERVERKEY, load_public(home, "s0"))
            plain.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
            plain.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
            plain.connect(plain_endpoint(home))
            command = c.PauseAgent(reason="r")
            payload = codec.encode(
                envelopes.Request(
                    request_id="0" * 16, incarnation="0" * 16, deadline_s=1.0, command=command
                )
            )

            async def ask_ours() -> None:
                await client.request(command, 10.0)

            async def ask_peer() -> None:
                await plain.send(payload)
                await plain.recv()

            for _ in range(100):
                await ask_ours()
                await ask_peer()
            for block in range(blocks):
                mine: list[float] = []
                theirs: list[float] = []
                for _ in range(count // TURN):
                    mine += await timed(ask_ours, TURN)
                    theirs += await timed(ask_peer, TURN)
                ours += mine
                peer += theirs
                rows.append(
                    {
                        "block": block,
                        "ours_p50_us": 1e6 * percentile(mine, 0.5),
                        "peer_p50_us": 1e6 * percentile(theirs, 0.5),
                        "ours_p99_us": 1e6 * percentile(mine, 0.99),
                        "peer_p99_us": 1e6 * percentile(theirs, 0.99),
                    }
                )
            client.close()
            plain.close()
    # Blocks that stood beside each other are compared: the machine is shared with others.
    ratio = statistics.median(row["ours_p50_us"] / row["peer_p50_us"] for row in rows)
    return {
        "figures": {
            "round_trip_p50_us": 1e6 * percentile(ours, 0.5),
            "round_trip_p99_us": 1e6 * percentile(ours, 0.99),
        },
        "peers": {
            "bare_dealer_router_curve_asyncio_p50_us": 1e6 * percentile(peer, 0.5),
            "bare_dealer_router_curve_asyncio_p99_us": 1e6 * percentile(peer, 0.99),
        },
        "ratios": {"round_trip": ratio},
        "targets": {"round_trip": at_most(ratio, 1.3)},
        "rows": rows,
    }


async def timed(ask: Callable[[], Awaitable[None]], count: int) -> list[float]:
    times: list[float] = []
    for _ in range(count):
        began_s = time.perf_counter()
        await ask()
        times.append(time.perf_counter() - began_s)
    return times


async def telemetry_raw(quick: bool) -> Row:
    """64 stations at 100 Hz into one viewer against a bare drained SUB of the same messages."""
    blocks, seconds = (2, 3.0) if quick else (9, 4.0)
    rows: list[Row] = []
    with new_home() as folder:
        home = Path(folder)
        with process("publish", home, 10.0):
            for block in range(blocks):
                peer = first_line("view_plain", home, seconds)
                ours = first_line("view", home, seconds, 0.0, 1.0)
                paced = first_line("view", home, seconds, 10.0, 1.0)
                rows.append({"block": block, "ours": ours, "peer": peer, "ours_paced": paced})
    # Per message, since a busy machine's publishers may fall behind their rate.
    ratio = statistics.median(per_message(row["ours"]) / per_message(row["peer"]) for row in rows)
    return {
        "figures": {
            "telemetry_raw_share_of_core": median_of(rows, "ours", "share"),
            "telemetry_raw_messages_per_s": median_of(rows, "ours", "messages_per_s"),
            "telemetry_raw_read_at_paint_10hz_share_of_core": median_of(
                rows, "ours_paced", "share"
            ),
        },
        "peers": {
            "drained_curve_sub_share_of_core": median_of(rows, "peer", "share"),
            "drained_curve_sub_messages_per_s": median_of(rows, "peer", "messages_per_s"),
        },
        "ratios": {"telemetry_raw": ratio},
        "targets": {"telemetry_raw": at_most(ratio, 1.3)},
        "rows": rows,
    }


async def telemetry_coalesced(quick: bool) -> Row:
    """64 stations coalesced to 10 Hz into one viewer, which looks at each ten times a second."""
    blocks, seconds = (2, 3.0) if quick else (5, 8.0)
    rows: list[Row] = []
    with new_home() as folder:
        home = Path(folder)
        with process("publish", home, 10.0):
            for block in range(blocks):
                rows.append({"block": block, "ours": first_line("view", home, seconds, 10.0, 0.0)})
    share = median_of(rows, "ours", "share")
    return {
        "figures": {
            "telemetry_10hz_share_of_core": share,
            "telemetry_10hz_messages_per_s": median_of(rows, "ours", "messages_per_s"),
        },
        "peers": {},
        "ratios": {},
        "targets": {"telemetry_10hz": at_most(share, 0.04)},
        "rows": rows,
    }


def per_message(figures: Row) -> float:
    return figures["share"] / figures["messages_per_s"]


def median_of(rows: list[Row], who: str, what: str) -> float:
    return statistics.median(row[who][what] for row in rows)


async def reconnects(quick: bool) -> Row:
    """A followed journal over cut connections, and what a bare SUB loses over the same cuts."""
    cuts = 100 if quick else 1000
    seen: list[int] = []
    heard: list[int] = []
    with new_home() as folder:
        home = Path(folder)
        with process("write", home, 1000.0):
            cut_path, plain_path = socket_path(home, "cut", "cmd"), socket_path(home, "cutp", "cmd")
            ours = Cutter(cut_path, Path(command_endpoint(home, "s0").removeprefix("ipc://")))
            peer = Cutter(plain_path, Path(plain_endpoint(home).removeprefix("ipc://")))
            await ours.start()
            await peer.start()
            keys, public = load_keypair(home, "viewer"), load_public(home, "s0")
            times = LinkTimes(retry=2, retry_most=20)
            client = Client(f"ipc://{cut_path}", public, keys, SystemClock(), times=times)
            plain = zmq.asyncio.Context.instance().socket(zmq.SUB)
            plain.setsockopt(zmq.LINGER, 0)
            plain.setsockopt(zmq.RECONNECT_IVL, 2)
            plain.setsockopt(zmq.CURVE_SERVERKEY, public)
            plain.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
            plain.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
            plain.setsockopt(zmq.SUBSCRIBE, b"")
            plain.connect(f"ipc://{plain_path}")
            began_s = time.monotonic()
            done = asyncio.Event()

            async def hear() -> None:
                while not done.is_set():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.5):
                            heard.append(int.from_bytes(await plain.recv(), "little"))

            async def follow() -> None:
                async for row in client.follow():
                    seen.append(row.seq)
                    if done.is_set():
                        return

            async def cut() -> None:
                # Each cut comes after a fresh connection and a fresh row.
                for number in range(cuts):
                    rows = len(seen)
                    async with asyncio.timeout(30):
                        while len(seen) == rows or ours.connections <= number:  # noqa: ASYNC110
                            await asyncio.sleep(0.001)
                    await asyncio.sleep(0.001 * (number % 7))
                    ours.cut()
                    peer.cut()
                rows = len(seen)
                while len(seen) < rows + 100:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                done.set()

            async with asyncio.TaskGroup() as tasks:
                for work in (hear, follow, cut):
                    tasks.create_task(work())
            seconds = time.monotonic() - began_s
            client.close()
            plain.close()
            await ours.close()
            await peer.close()
    lost = seen[-1] - len(set(seen))
    repeated = len(seen) - len(set(seen))
    return {
        "figures": {
            "reconnects": ours.connections - 1,
            "rows_followed": len(seen),
            "rows_lost": lost,
            "rows_repeated": repeated,
            "in_order": seen == sorted(seen),
            "reconnects_seconds": seconds,
        },
        "peers": {
            "bare_sub_rows_lost": heard[-1] - heard[0] + 1 - len(heard) if heard else 0,
            "bare_sub_rows_heard": len(heard),
        },
        "ratios": {},
        "targets": {"rows_lost_over_reconnects": at_most(lost + repeated, 0)},
        "rows": [{"cuts": cuts, "first": seen[0], "last": seen[-1]}],
    }


async def journal_ingest(quick: bool) -> Row:
    """Observations appended one by one, against bare SQLite by the hundred; decisions beside."""
    blocks, count = (3, 50_000) if quick else (6, 200_000)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="wire-") as folder:
        for block in range(blocks):
            ours = SqliteJournal.open(Path(folder) / f"ours-{block}.db", SystemClock())
            began_s = time.perf_counter()
            for n in range(count):
                ours.append(
                    EpisodeStarted(batch_id="run/idea/x1", index=n, number=n), durable=False
                )
            ours.flush()
            observed = count / (time.perf_counter() - began_s)
            assert ours.committed_seq == count
            began_s = time.perf_counter()
            for n in range(300):
                ours.append(EpisodeStarted(batch_id="run/idea/x1", index=n, number=n), durable=True)
            decided = 300 / (time.perf_counter() - began_s)
            ours.close()
            rows.append(
                {
                    "block": block,
                    "ours_rows_per_s": observed,
                    "peer_rows_per_s": bare_ingest(Path(folder) / f"peer-{block}.db", count),
                    "ours_decisions_per_s": decided,
                    "peer_full_rows_per_s": bare_decisions(Path(folder) / f"full-{block}.db"),
                }
            )
    observed = statistics.median(row["ours_rows_per_s"] for row in rows)
    bare = statistics.median(row["peer_rows_per_s"] for row in rows)
    return {
        "figures": {
            "journal_observations_per_s": observed,
            "journal_decisions_per_s": statistics.median(r["ours_decisions_per_s"] for r in rows),
        },
        "peers": {
            "bare_sqlite_normal_by_100_rows_per_s": bare,
            "bare_sqlite_full_one_by_one_rows_per_s": statistics.median(
                r["peer_full_rows_per_s"] for r in rows
            ),
        },
        "ratios": {"journal_ingest": observed / bare},
        "targets": {"journal_observations_per_s": at_least(observed, 50_000)},
        "rows": rows,
    }


def at_most(value: float, limit: float) -> Row:
    return {"value": value, "at_most": limit, "met": value <= limit}


def at_least(value: float, limit: float) -> Row:
    return {"value": value, "at_least": limit, "met": value >= limit}


CELLS: dict[str, Callable[[bool], Coroutine[Any, Any, Row]]] = {
    "round_trip": round_trip,
    "telemetry_raw": telemetry_raw,
    "telemetry_coalesced": telemetry_coalesced,
    "reconnects": reconnects,
    "journal_ingest": journal_ingest,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.wire", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute instead of several")
    parser.add_argument("--cells", default=",".join(CELLS), help="comma-separated, of the above")
    parser.add_argument("--state", type=Path, help="file with the cells measured so far")
    options = parser.parse_args()
    done: dict[str, Row] = {}
    if options.state and options.state.exists():
        done = json.loads(options.state.read_text())
    for cell in options.cells.split(","):
        if cell in done:
            continue
        done[cell] = asyncio.run(CELLS[cell](options.quick))
        if options.state:
            options.state.write_text(json.dumps(done))
    chosen = {cell: done[cell] for cell in options.cells.split(",")}
    result: Row = {"benchmark": "wire", "quick": options.quick}
    for part in ("figures", "peers", "ratios", "targets"):
        result[part] = {key: value for row in chosen.values() for key, value in row[part].items()}
    result["met"] = all(target["met"] for target in result["targets"].values())
    result["rows"] = {cell: row["rows"] for cell, row in chosen.items()}
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
