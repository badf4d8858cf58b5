"""Every threat that the house knows of, and the tests that prove the behaviour required of it.

The table is the list to look into: a row for each of RELIABILITY.md's threats, and for each attack
on the stock parts; each names tests, which are there. Most attack a running gateway over a real
socket; what a feed or a pure module must refuse is proved there.
"""

import ast
import inspect
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from gateway.access import keys
from gateway.admin import keys as admin_keys

TESTS: Final = Path(__file__).parent

THREATS: Final[dict[str, tuple[str, ...]]] = {
    "no, invalid, expired, revoked key": (
        "test_threats_keys.test_no_bad_key_gets_further_than_the_door",
        "test_threats_keys.test_no_bad_key_gets_further_by_auth",
        "test_threats_keys.test_a_revocation_ends_live_sockets_within_5_s_as_shipped",
        "test_stream_admission.test_before_the_key_nothing_else_is_heard",
        "test_stream_admission.test_whoever_shows_no_key_in_time_is_closed",
        "test_stream_ends.test_a_key_that_is_taken_back_ends_its_sockets_and_no_others",
        "test_stream_plans.test_a_key_that_expires_or_is_rotated_away_ends_its_sockets",
    ),
    "cross-site WebSocket hijacking": (
        "test_origins.test_another_sites_page_is_refused_before_the_upgrade_and_keeps_its_ticket",
        "test_origins.test_a_cross_site_page_with_a_key_of_its_own_is_refused_too",
        "test_origins.test_two_origins_are_none",
        "test_origins.test_a_cookie_is_no_key",
        "test_origins.test_another_sites_page_may_not",
        "test_proxies.test_a_page_behind_a_proxy_that_ends_tls_is_our_own",
    ),
    "brute force, timing": (
        "test_keys.test_a_key_holds_its_id_and_256_random_bits",
        "test_keys.test_no_two_keys_are_alike_and_a_record_does_not_hold_its_key",
        "test_keys.test_keys_are_listed_oldest_first_and_redis_never_sees_one",
        "test_stream_plans.test_guessing_keys_ends_in_429_for_a_while",
        "test_admission.test_failures_count_together_over_all_workers",
        "test_admission.test_addresses_that_are_one_persons_are_one",
        "test_proxies.test_clients_of_a_listed_proxy_have_limits_of_their_own",
        "test_proxies.test_whoever_is_no_listed_proxy_can_not_say_that_it_is_another_one",
        "test_threats.test_secrets_are_compared_in_constant_time",
    ),
    "JWT": (
        "test_threats_keys.test_no_forged_token_gets_in_and_nobody_fetches_its_keys",
        "test_stream_plans.test_a_token_is_as_good_as_a_key_until_it_ends",
        "test_tokens.test_one_algorithm_is_pinned_even_among_those_of_the_same_key",
        "test_tokens.test_a_public_key_is_no_secret_to_sign_with",
    ),
    "authorization": (
        "test_threats_keys.test_a_key_sees_nothing_of_other_channels_whatever_it_asks",
        "test_stream_plans.test_a_key_sees_the_channels_of_its_plan_and_no_others",
        "test_stream_plans.test_a_wildcard_stands_for_what_the_key_may_see",
    ),
    "oversize, malformed, deep, duplicate keys": (
        "test_threats_input.test_what_is_no_command_is_answered_so_and_ends_nothing",
        "test_threats_input.test_of_two_fields_of_one_name_the_last_counts_and_there_is_one_answer",
        "test_threats_input.test_ten_malformed_messages_a_minute_are_borne_and_then_it_is_1008",
        "test_stream_ends.test_a_message_of_more_than_64_kib_ends_the_connection",
        "test_hostile_frames.test_what_is_no_websocket_is_closed_with_its_code",
        "test_hostile_frames.test_no_noise_is_our_failure",
        "fuzz.test_fuzz.test_any_command_is_answered_once_and_ends_nothing",
    ),
    "limits across processes": (
        "test_limit_store.test_four_processes_admit_together_what_one_key_may",
        "test_threats_keys.test_many_connections_to_many_gateways_are_one_key",
        "test_stream_plans.test_connections_count_over_all_gateways",
        "test_slots.test_the_slots_of_a_killed_worker_come_back",
    ),
    "Redis down": (
        "test_threats_keys.test_without_redis_known_keys_are_believed_for_a_while_and_then_nobody",
        "test_stream_repair.test_a_key_that_is_not_known_is_told_to_come_again_while_redis_is_away",
        "test_stream_repair.test_a_killed_redis_makes_everything_stale_by_the_bus_until_it_is_back",
        "test_limit_store.test_without_redis_a_worker_enforces_its_share",
        "test_rest.test_without_redis_a_known_key_is_told_to_come_back",
        "test_publisher.test_a_buffer_that_overflows_loses_the_oldest_and_says_so",
    ),
    "poisoned tick": (
        "test_screen.test_a_trade_that_can_be_none_is_refused",
        "test_screen.test_a_quote_that_can_be_none_is_refused",
        "test_screen.test_a_trade_that_comes_twice_is_refused",
        "test_screen.test_a_trade_from_the_future_is_flagged_and_makes_none_after_it_late",
        "test_screen.test_a_time_that_goes_back_is_flagged_from_a_second_on",
        "test_screen.test_an_outlier_is_flagged_and_never_dropped",
        "test_parser_fuzz.test_each_value_of_each_captured_frame_may_be_anything",
        "test_market.test_what_must_be_more_than_zero_is_refused_otherwise",
        "test_stream.test_an_unsound_message_of_a_stranger_is_a_gap_and_harms_nobody",
    ),
    "symbol injection": (
        "test_threats_input."
        "test_a_name_that_is_no_known_channels_reaches_no_redis_no_label_and_no_log",
        "test_market.test_any_text_at_all_is_a_channel_or_refused",
        "test_directory.test_any_name_at_all_is_some_channels_or_a_refusal",
        "test_listing.test_a_venue_that_invents_names_without_end_fills_no_memory",
    ),
    "metrics, admin": (
        "test_admin.test_a_data_key_opens_nothing_on_the_admin_port",
        "test_admin.test_the_public_port_shows_no_metrics",
        "test_admin.test_only_loopback_is_listened_on_unless_asked_for",
        "test_admin.test_a_page_whose_name_means_our_address_sees_nothing",
    ),
    "dashboard XSS": (
        "browser.test_dashboard_hostile.test_nothing_from_outside_becomes_markup_or_script",
        "browser.test_dashboard.test_it_is_light_asks_nobody_else_and_keeps_no_key",
        "test_dashboard.test_a_page_may_run_our_files_and_nothing_else",
        "test_dashboard.test_no_text_can_become_markup_and_no_other_host_is_named",
        "test_dashboard.test_there_are_the_files_of_the_page_and_no_others",
        "test_dashboard.test_the_page_of_keys_is_the_admin_listeners_alone",
    ),
    "forged resume": (
        "test_stream.test_any_other_position_gets_the_newest_and_no_guess",
        "fuzz.test_fuzz.test_any_position_is_answered_with_recovered_or_a_reset",
    ),
}
ATTACKS: Final[dict[str, tuple[str, ...]]] = {
    "one connection pours empty continuation frames": (
        "test_hostile_frames.test_a_stream_of_empty_fragments_is_not_even_looked_at",
        "test_hostile_frames.test_a_message_in_more_than_64_fragments_ends_the_connection",
    ),
    "ping flood, the client never reads": (
        "test_hostile_frames.test_pings_of_one_who_reads_no_pongs_end_the_connection",
        "test_hostile_frames.test_a_stream_of_tiny_frames_ends_the_connection",
    ),
    "stalled reader, keepalive timeout": (
        "test_stream_ends.test_a_stalled_readers_socket_is_gone_whatever_its_last_words",
        "test_stream_ends.test_a_client_that_answers_no_ping_is_told_to_come_back",
        "test_tls.test_a_stalled_client_over_tls_is_gone_in_bounded_time",
    ),
    "stalled reader, kernel side": (
        "test_threats_input.test_the_kernel_takes_little_that_a_client_does_not_read",
        "test_hostile_frames.test_what_was_sent_is_acknowledged_in_30_s_or_the_socket_is_gone",
    ),
    "SIGTERM with one stalled client": (
        "test_stream_ends.test_a_gateway_that_stops_waits_for_no_stalled_reader",
    ),
    "slowloris": (
        "test_hostile_requests.test_whoever_does_not_finish_a_request_is_cut_off",
        "test_hostile_requests.test_an_address_that_keeps_many_waiting_has_less_time",
        "test_tls.test_whoever_does_not_finish_a_handshake_is_cut_off",
        "test_tls.test_an_address_that_keeps_many_handshakes_waiting_has_less_time",
        "test_proxies.test_a_proxys_clients_have_half_open_places_of_their_own",
    ),
    "upgrade with 9 kB path or header, 200 headers": (
        "test_hostile_requests.test_what_is_too_large_or_broken_is_answered_and_cut_off",
    ),
    "key in the URL": (
        "test_stream_admission.test_a_key_in_the_url_is_refused_even_if_it_is_valid",
        "test_secrets.test_no_secret_is_ever_told",
    ),
    "permessage-deflate": (
        "test_threats_input.test_no_compression_is_agreed_on_whoever_asks_for_it",
    ),
    "Autobahn 7.1.5": (
        "conformance.test_fragments.test_a_close_within_a_fragmented_message_is_a_close",
        "test_hostile_frames.test_a_close_between_fragments_is_answered_as_any_other",
    ),
}
ROWS: Final = THREATS | ATTACKS


@cache
def _tests_in(module: str) -> frozenset[str]:
    tree = ast.parse((TESTS / f"{module.replace('.', '/')}.py").read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


@pytest.mark.parametrize("row", ROWS)
def test_every_row_names_tests_that_are_there(row: str) -> None:
    assert ROWS[row]
    for test in ROWS[row]:
        module, _, name = test.rpartition(".")
        assert name in _tests_in(module), test


def _first_cells(text: str, heading: str) -> list[str]:
    """Of the table's rows below a heading."""
    lines = text.partition(f"## {heading}")[2].splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("|---"))
    cells = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        cells.append(line.strip("|").split("|")[0].strip())
    return cells


@pytest.mark.parametrize(
    ("heading", "rows"), [("Threats", THREATS), ("What the stock parts do", ATTACKS)]
)
def test_no_row_is_left_out(shared: Path, heading: str, rows: dict[str, tuple[str, ...]]) -> None:
    text = (shared / "RELIABILITY.md").read_text()
    named = _first_cells(text, heading)
    assert named
    assert [cell for cell in named if not any(cell.startswith(row) for row in rows)] == []


def test_secrets_are_compared_in_constant_time() -> None:
    """What `==` takes tells how much of it was right."""
    for module, count in ((keys, 2), (admin_keys, 1)):
        assert inspect.getsource(module).count("hmac.compare_digest(") == count
