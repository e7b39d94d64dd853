"""Where tasks are delivered: each to the queue of who does such work, never by chance to the default one."""

from desk.celery import app


def test_every_task_of_ours_has_a_queue() -> None:
    """A batch job on the default queue is taken by no second batch worker, and Operations does not count it."""
    app.loader.import_default_modules()
    ours = {name for name in app.tasks if not name.startswith("celery.")}
    routes = app.conf.task_routes
    assert "desk.backtests.tasks.run_parity" in ours and ours == set(routes)
    assert {routes[name]["queue"] for name in ours} == {"batch", "hands", "loops"}
    alone = [name for name in ours if routes[name]["queue"] == "hands"]
    assert alone == ["trading.studies.tasks.lend_hand"], "no long job stands before a study's workers"
