"""What a machine shows of itself: bounded buffers, counters that add up, lanes as they are."""

from __future__ import annotations

from penstock.core.lanes import RECORDS_AHEAD_LEAST
from simulation.books import Books


class BoundChecks:
    def __init__(self, books: Books) -> None:
        self._books = books

    def after_step(self) -> None:
        books, view = self._books, self._books.machine.view()
        bounds = books.bounds
        bytes_bound = 2 * bounds.buffer_bytes + books.scenario.settings.event_bytes_max + bounds.batch_size * 130
        records_bound = 2 * max(2 * bounds.batch_size, RECORDS_AHEAD_LEAST) * bounds.lanes
        if view.buffered > records_bound or view.buffered_bytes > bytes_bound:
            books.fail(f"buffers {view.buffered} records, {view.buffered_bytes} bytes")
        counters = view.counters
        known = counters.filtered + counters.invoked_first + counters.dropped_before + view.buffered
        if counters.polled != known and view.state != "released":
            books.fail(f"polled {counters.polled} records and knows of {known}: {counters}, {view.buffered} buffered")
        if books.model.factor is None:
            return
        if len(view.lanes) != books.model.factor and view.state != "released":
            books.fail(f"shows {len(view.lanes)} lanes, and has {books.model.factor}")
        for lane, shown in zip(books.lanes(), view.lanes, strict=False):
            running = lane.running.request_id if lane.running is not None else None
            if lane.running is not None and lane.running.is_cancelled:
                continue
            if (shown.in_flight.request_id if shown.in_flight else None) != running:
                books.fail(f"shows {shown.in_flight} in lane {lane.number}, where {running} runs")
