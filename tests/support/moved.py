"""Which test moves which metric: a metric that is only defined would say nothing."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
_OBSERVED = "daemon/test_observability.py::test_metrics_of_"
_HEARD = "edge_asd/hearing/test_hearing.py::test_"
_COUNTED = "edge_asd/books/test_books.py::test_"
_MOVED = "edge_asd/metrics/test_metrics_move.py::test_"
MOVED_BY: dict[str, tuple[str, ...]] = {
    f"{_OBSERVED}a_live_daemon_move_and_are_accepted_by_promtool": (
        "build_info",
        "model_info",
        "start_time_seconds",
        "ready",
        "capture_up",
        "capture_frames_total",
        "capture_last_frame_timestamp_seconds",
        "audio_level_dbfs",
        "audio_noise_floor_dbfs",
        "windows_total",
        "window_queue_capacity",
        "anomaly_score",
        "anomaly_threshold",
        "anomaly_scores",
        "alert_active",
        "alerts_total",
        "monitor_state",
        "ledger_seconds",
        "evidence_clips_total",
        "evidence_bytes",
        "evidence_quota_bytes",
    ),
    "edge_asd/test_observe.py::test_what_sources_and_clocks_say_is_shown": (
        "clock_synchronized",
        "clock_steps_total",
        "window_queue_length",
        "capture_drift_ratio",
        "capture_surplus_seconds",
        "health_checks",
    ),
    f"{_HEARD}lost_audio_and_reports_of_the_driver_are_counted": (
        "capture_overflows_total",
        "capture_lost_seconds_total",
    ),
    "edge_asd/publish/test_incoming.py::test_a_command_is_heard_and_answered": (
        "mqtt_received_total",
    ),
    "edge_asd/publish/test_twins.py::test_two_daemons_under_one_name_are_told_by_both": (
        "mqtt_duplicate_clients_total",
    ),
    "edge_asd/operators/test_rehearsal.py::"
    "test_an_alert_lives_from_new_to_end_and_counts_for_nothing": ("rehearsals_total",),
    "daemon/test_commands.py::"
    "test_maintenance_over_mqtt_survives_a_kill_and_is_ended_on_the_command_line": (
        "commands_total",
    ),
    "daemon/test_reload.py::test_ten_reloads_cost_a_monitor_whose_section_is_the_same_nothing": (
        "config_reloads_total",
        "config_last_reload_success_timestamp_seconds",
    ),
    "daemon/test_reload.py::test_a_file_that_cannot_be_used_changes_nothing_and_says_why": (
        "config_last_reload_successful",
    ),
    "daemon/test_sources.py::test_a_program_that_fails_is_a_state_and_is_tried_again": (
        "capture_restarts_total",
    ),
    f"{_MOVED}latency_runs_from_the_last_sample_to_the_score": ("window_latency_seconds",),
    f"{_MOVED}a_runtime_that_fails_is_counted": ("inference_errors_total",),
    f"{_MOVED}an_alert_so_soon_after_the_last_is_counted_as_suppressed": (
        "alerts_suppressed_total",
    ),
    f"{_OBSERVED}delivery_move_with_the_broker": (
        "mqtt_connected",
        "mqtt_connect_attempts_total",
        "mqtt_publish_total",
        "outbox_messages",
        "outbox_bytes",
        "outbox_oldest_timestamp_seconds",
    ),
    f"{_MOVED}what_an_outbox_gives_up_is_counted_by_class_and_reason": ("outbox_dropped_total",),
    f"{_HEARD}zeros_are_counted_and_are_no_quiet": (
        "microphone_fault",
        "signal_flawed_seconds_total",
        "audio_zero_seconds_total",
    ),
    f"{_HEARD}clipping_and_an_offset_are_measured": (
        "audio_clipped_ratio",
        "audio_clipped_samples_total",
        "audio_dc_ratio",
    ),
    "daemon/test_engine.py::test_plans_are_built_beside_the_scoring_and_take_over_without_a_gap": (
        "engine_build_duration_seconds",
    ),
    "daemon/test_engine.py::test_a_gpu_that_fails_costs_no_window_and_is_told": (
        "inference_fallbacks_total",
    ),
    f"{_MOVED}late_scoring_stretches_the_hop": ("hop_stretch",),
    f"{_COUNTED}metrics_say_what_was_deleted_and_what_cannot_be": (
        "evidence_deleted_total",
        "evidence_stuck_clips",
    ),
    f"{_COUNTED}scores_that_the_disk_does_not_take_are_counted": ("history_dropped_scores_total",),
}
"""By the test that moves them through the product: a metric that is only defined fails here."""
NAMES = [name for names in MOVED_BY.values() for name in names]
