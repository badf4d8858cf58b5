"""A report as a person reads it: one table of times, then one line for each thing to know. Pure."""

import math
from collections.abc import Iterator
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.measure.report import SHARES, Clocks, Delays, GatewayClock, Hop, Report
from gateway.watch.board import printable
from gateway.watch.table import NOT_MARKETS

_GOOD, _DIM, _WARN, _ALARM = "green", "dim", "yellow", "bold red"
_PARTS: Final = ("p50", "p90", "p99", "p99.9", "max")
_NAMES: Final = {
    "feed": "in the feed",
    "bus": "feed to gateway",
    "client": "gateway to here",
    "all": "feed to here",
}
_CLOCKS: Final[dict[Clocks, str]] = {
    "one": "one",
    "two": "two",
    "corrected": "corrected",
    "two_corrected": "two",
}
_TWO: Final = "two: perhaps two machines' clocks, taken as they are; no ping compares them"
_UNITS: Final = ("B", "kB", "MB", "GB")
_CELL_WIDTH: Final = 6
_FAULTS_SHOWN: Final = 6


def write_report(report: Report, console: Console) -> None:
    console.print(_heading(report))
    console.print()
    console.print(_times(report))
    console.print(Text(_TWO, _DIM))
    if report.rate != "all":
        console.print(
            Text(f"at rate {report.rate} the gateway holds messages until it is time", _DIM)
        )
    console.print()
    for line in _lines(report):
        console.print(line)


def progress(messages: int, elapsed_s: float | None, seconds: float) -> Text:
    """The one line while it runs; None: it has not begun."""
    if elapsed_s is None:
        return Text("connecting, subscribing, comparing clocks …", _DIM)
    if elapsed_s >= seconds:
        return Text("comparing clocks once more …", _DIM)
    rate = _number(messages / elapsed_s if elapsed_s > 0 else 0.0)
    left_s = math.ceil(seconds - elapsed_s)
    return Text(f"{left_s} s left  {messages:,} messages  {rate}/s  (Ctrl-C: enough)", _DIM)


def _heading(report: Report) -> Text:
    count = len(report.connections)
    line = Text(report.gateway, "bold")
    line.append(
        f"  {report.seconds:.1f} s, {_counted(count, 'connection')},"
        f" {_counted(report.channels, 'channel')} at rate {report.rate}\n",
        "",
    )
    line.append(f"{_number(report.messages_per_s)} messages/s", "bold")
    line.append(f", {_size(report.payload_bytes_per_s)}/s")
    if count > 1:
        rates = [row.messages_per_s for row in report.connections]
        line.append(f"; of a connection {_number(min(rates))} to {_number(max(rates))} messages/s")
    return line


def _times(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("milliseconds", no_wrap=True)
    for part in _PARTS:
        table.add_column(part, justify="right", min_width=_CELL_WIDTH, no_wrap=True)
    table.add_column("clocks", style=_DIM, no_wrap=True)
    for hop in report.hops:
        _add(table, _name(hop), hop.delays, _clocks(hop, report.clock))
    rows = ("connect", report.connect), ("subscribe", report.subscribe), ("ping", report.round_trip)
    for name, delays in rows:
        _add(table, name, delays, "ours")
    return table


def _name(hop: Hop) -> str:
    label = NOT_MARKETS.get(hop.name, hop.name)
    return _NAMES.get(hop.name, f"{printable(label)} to feed")


def _clocks(hop: Hop, clock: GatewayClock) -> str:
    if hop.clocks == "corrected" and clock.offset_ms is None:
        return "two"
    return "one" if hop.clocks == "corrected" and clock.is_one_clock else _CLOCKS[hop.clocks]


def _add(table: Table, name: str, delays: Delays, clocks: str) -> None:
    quantiles = delays.p50_ms, delays.p90_ms, delays.p99_ms, delays.p99_9_ms
    # Of ten there is no 99th percentile but the greatest: that is told once.
    told = (
        ms if delays.count * (1 - share) >= 1 else None
        for share, ms in zip(SHARES, quantiles, strict=True)
    )
    table.add_row(name, *map(_cell, (*told, delays.max_ms)), clocks)


def _cell(ms: float | None) -> Text:
    """One that is less than no time catches the eye."""
    return Text(_milliseconds(ms), _ALARM if ms is not None and ms < 0 else "")


def _lines(report: Report) -> Iterator[Text]:
    yield from _faults(report)
    if report.messages == 0:
        states = ", ".join(f"{n} {state}" for state, n in sorted(report.channels_by_state.items()))
        yield Text(f"nothing came: of {_counted(report.channels, 'channel')} {states}", _WARN)
    elif report.channels_heard < report.channels:
        silent = report.channels - report.channels_heard
        yield Text(f"silent: {silent} of {_counted(report.channels, 'channel')}", _DIM)
    for left_out in report.left_out:
        yield Text(f"left out: {printable(left_out, 300)}", _WARN)
    yield _clock(report.clock)
    yield from (_disagreement(hop) for hop in report.hops if hop.delays.negative)
    yield _heartbeats(report)
    yield from _client(report)


def _faults(report: Report) -> Iterator[Text]:
    faults = report.faults
    if faults.broke_a_promise:
        yield Text(
            f"BROKEN: {_counted(faults.lost_in_silence, 'message')} lost in silence"
            f" ({_counted(faults.holes, 'hole')}), {faults.out_of_order} out of order",
            _ALARM,
        )
    else:
        yield Text("nothing lost in silence, nothing out of order", _GOOD)
    told = (
        (faults.gaps, f"{_counted(faults.gaps, 'gap')} announced ({faults.missed} missed)"),
        (faults.resets, _counted(faults.resets, "reset")),
        (
            faults.lag_notices,
            f"{_counted(faults.lag_notices, 'lag notice')} (up to {faults.lag_queued_max} queued,"
            f" {faults.lag_age_ms_max} ms old)",
        ),
        (faults.errors, _counted(faults.errors, "error")),
        (faults.unknown_frames, _counted(faults.unknown_frames, "frame") + " not understood"),
    )
    if some := [text for count, text in told if count]:
        yield Text(", ".join(some), _WARN)
    for name in faults.named[:_FAULTS_SHOWN]:
        yield Text(f"  {printable(name, 200)}", _WARN)
    if len(faults.named) > _FAULTS_SHOWN:
        yield Text("  and more", _WARN)
    for ended in dict.fromkeys(report.ended):
        times = report.ended.count(ended)
        yield Text(f"{_counted(times, 'connection')} ended: {printable(ended, 300)}", _ALARM)


def _clock(clock: GatewayClock) -> Text:
    if clock.offset_ms is None or clock.bound_ms is None or clock.moved_ms is None:
        return Text("clocks: no ping was answered, nothing is corrected", _WARN)
    bound, pings = f"± {clock.bound_ms:.2f} ms", _counted(clock.pings, "ping")
    if clock.is_one_clock:
        return Text(f"clocks: gateway and client share one, {pings} agree {bound}", _DIM)
    way = "ahead of" if clock.offset_ms >= 0 else "behind"
    told = f"clocks: the gateway's is {abs(clock.offset_ms):.2f} ms {way} ours {bound} ({pings})"
    if clock.has_moved:
        return Text(f"{told}, and moved {clock.moved_ms:+.2f} ms meanwhile", _WARN)
    return Text(told, _DIM)


def _disagreement(hop: Hop) -> Text:
    """Of a hop that has taken less than no time."""
    told = f"{_name(hop)}: {hop.delays.negative / hop.delays.count:.1%} came before they were sent"
    if hop.clocks == "corrected":
        return Text(f"{told}, within the bound of the correction", _DIM)
    return Text(f"{told}: its two clocks differ", _WARN)


def _heartbeats(report: Report) -> Text:
    silence_s = report.silence_max_ms / 1_000
    told = f"{_counted(report.heartbeats, 'heartbeat')}, longest silence {silence_s:.2f} s"
    if report.missed_heartbeats:
        return Text(f"{told}: a heartbeat is due every {report.heartbeat_ms} ms", _ALARM)
    return Text(told, _DIM)


def _client(report: Report) -> Iterator[Text]:
    client = report.client
    told = f"this client: {client.cpu_share:.0%} of a core"
    if client.waited_share is not None:
        told += f" (+{client.waited_share:.0%} waiting for one)"
    yield Text(f"{told}, loop late by {client.loop_late_p99_ms:.1f} ms (p99)", _DIM)
    if report.is_client_bottleneck:
        yield Text("this client was the bottleneck: rates and delays are its own", _ALARM)
    elif report.is_client_late:
        yield Text("this client was late: delays include that", _WARN)


def _milliseconds(ms: float | None) -> str:
    if ms is None:
        return ""
    digits = 2 if abs(ms) < 99.995 else 0
    return f"{ms:.{digits}f}" if abs(ms) < 9_999_999 else "long"


def _number(value: float) -> str:
    return f"{value:,.1f}" if value < 99.95 else f"{value:,.0f}"


def _size(size: float) -> str:
    unit = 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size, unit = size / 1_000, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if size >= 9.95 else f"{size:.1f} {_UNITS[unit]}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
