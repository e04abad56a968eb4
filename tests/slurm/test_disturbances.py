"""What happens to jobs on a shared cluster, done to real ones: every run ends right, or says why it does not."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil
from support.slurm import jobs, started
from support.workflow import Workplace

from local_slurm.cluster import LocalCluster
from nep.slurm.commands import LONGEST_OUTAGE_S, NOTES, UNREACHABLE

# Of a machine that is busy with other things; what these tests do takes a tenth of it.
START_S, END_S = 300, 300
Make = Callable[..., Workplace]


def starts(place: Workplace, name: str) -> list[str]:
    """Slurm's job id of each start of a job."""
    path = place.root / "started" / name
    return path.read_text().split() if path.is_file() else []


def have_started(place: Workplace, **times: int) -> Callable[[], bool]:
    return lambda: all(len(starts(place, name)) >= number for name, number in times.items())


def let_go(place: Workplace) -> None:
    (place.root / "go").touch()


def names(*words: str) -> list[str]:
    return ["--config", f"names=[{','.join(words)}]"]


def test_cancelled_requeued_slow_and_out_of_memory_without_accounting(cluster: LocalCluster, disturbed: Make) -> None:
    """With the status command that hangs where the accounting is absent."""
    place = disturbed(**{"slurm-status-command": "sacct", "set-resources": {"fill": {"mem_mb": "700 * attempt"}}})
    with started(cluster, place, *names("cancelled", "requeued", "slow", "memory")) as run:
        run.wait_until(have_started(place, cancelled=1, requeued=1, slow=1), START_S)
        cluster.ask("scontrol", "update", f"JobId={starts(place, 'slow')[0]}", "EndTime=now+1")
        cluster.ask("scancel", *starts(place, "cancelled"))
        cluster.ask("scontrol", "requeue", *starts(place, "requeued"))
        run.wait_until(have_started(place, cancelled=2, requeued=2, slow=2), START_S)
        let_go(place)
        assert run.finish(END_S) == 0, run.text
    of = {name: jobs(cluster, f"rule_wait_wildcards_{name}", place) for name in ("cancelled", "requeued", "slow")}
    assert [job.state for job in of["cancelled"]] == ["CANCELLED", "COMPLETED"]
    assert [(job.state, job.restarts) for job in of["requeued"]] == [("COMPLETED", 1)]
    assert [job.state for job in of["slow"]] == ["TIMEOUT", "COMPLETED"]
    assert of["slow"][1].minutes == 20
    filled = jobs(cluster, "rule_fill", place)
    assert [(job.state, job.memory_mb, job.minutes) for job in filled] == [
        ("FAILED", 700, 10),
        ("COMPLETED", 1400, 20),
    ]


def test_a_failed_job_is_heard_and_its_logs_lie_together(cluster: LocalCluster, disturbed: Make) -> None:
    place = disturbed(retries=0)
    with started(cluster, place, *names("fail-logged", "fail-silent")) as run:
        assert run.finish(END_S) == 1
        assert "\nthe reason\n" in run.text
        assert "\nthe last word\n" in run.text
    for where, reason in (("logged", "the reason"), ("silent", "the last word")):
        said = run.text.partition(f"fail {where} has failed. The end of its log:\n")[2].partition("\n\n")[0]
        assert f"  {reason}\n" in said
        assert said.endswith(f"\nTo read on: less -R +G logs/fail/{where}.log")
        (job,) = jobs(cluster, f"rule_fail_wildcards_{where}", place)
        logs = {path.name for path in (place.root / "logs" / "fail").glob(f"{where}.*")}
        assert logs == {f"{where}.log", f"{where}.slurm-{job.id}.log"}


def test_preempted_by_cancellation_and_the_controller_down_for_a_minute(cluster: LocalCluster, disturbed: Make) -> None:
    place = disturbed(**{"default-resources": {"slurm_partition": "cancelled"}})
    with started(cluster, place, *names("preempted")) as run:
        run.wait_until(have_started(place, preempted=1), START_S)
        urgent = ("--partition=urgent", "--nodes=2", "--exclusive", "--mem=100", "--output=/dev/null", "--wrap=sleep 2")
        cluster.ask("sbatch", *urgent)
        run.wait_until(have_started(place, preempted=2), START_S)
        cluster.stop_daemon("slurmctld")
        try:
            let_go(place)
            back = time.monotonic() + 60
            run.wait_until(lambda: time.monotonic() > back, START_S)
        finally:
            cluster.start_controller()
        assert run.finish(END_S) == 0, run.text
    assert len(set(starts(place, "preempted"))) == 1
    assert [(job.state, job.restarts) for job in jobs(cluster, "rule_wait", place)] == [("COMPLETED", 1)]


def test_a_controller_that_stays_away_ends_the_run_with_a_message(cluster: LocalCluster, disturbed: Make) -> None:
    place = disturbed(retries=0)
    with started(cluster, place, *names("lonely")) as run:
        run.wait_until(have_started(place, lonely=1), START_S)
        cluster.stop_daemon("slurmctld")
        try:
            unreachable = place.root / NOTES / UNREACHABLE
            run.wait_until(unreachable.exists, START_S)
            began = time.time() - LONGEST_OUTAGE_S
            os.utime(unreachable, (began, began))
            assert run.finish(END_S) == 1
        finally:
            cluster.start_controller()
            let_go(place)
    assert "Slurm's controller has not answered for 30 minutes" in run.text


def test_a_lost_node(cluster: LocalCluster, disturbed: Make) -> None:
    place = disturbed()
    with started(cluster, place, *names("here", "there")) as run:
        run.wait_until(have_started(place, here=1, there=1), START_S)
        node = cluster.ask("squeue", "--noheader", "--format=%N", f"--jobs={starts(place, 'here')[0]}").strip()
        kill_node(cluster, node)
        try:
            run.wait_until(have_started(place, here=2), START_S)
            let_go(place)
            assert run.finish(END_S) == 0, run.text
        finally:
            cluster.start_node(node)
    (job,) = jobs(cluster, "rule_wait_wildcards_here", place)
    assert (job.state, job.restarts) == ("COMPLETED", 1)


def kill_node(cluster: LocalCluster, node: str) -> None:
    """SIGKILL to a node's slurmd, then to those that watch over its jobs, then to the jobs."""
    cluster.stop_daemon(f"slurmd-{node}", signal.SIGKILL)
    lost, watchers = set(), set()
    for number in cluster.processes():
        try:
            process = psutil.Process(number)
            if process.environ().get("SLURMD_NODENAME") == node:
                lost.add(process)
                watchers |= {parent for parent in process.parents() if "slurmstepd" in parent.name()}
        except psutil.NoSuchProcess:
            # One of the short processes of a job.
            continue
    assert watchers
    for process in [*watchers, *lost]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def test_a_second_run_takes_over_the_jobs_of_a_killed_one(cluster: LocalCluster, disturbed: Make) -> None:
    place = disturbed(retries=0)
    arguments = names("orphan")
    with started(cluster, place, *arguments) as run:
        run.wait_until(have_started(place, orphan=1), START_S)
        run.kill()
    with started(cluster, place, *arguments, "other=1") as run:
        assert run.finish(END_S) == 1
        (job,) = starts(place, "orphan")
        assert f"job {job} of an earlier run still makes this with another configuration" in run.text
        assert f"scancel {job}" in run.text
    with started(cluster, place, *arguments) as run:
        run.wait_until(lambda: f"has been submitted with SLURM jobid {job}" in run.text, START_S)
        let_go(place)
        assert run.finish(END_S) == 0, run.text
    assert starts(place, "orphan") == [job]
    assert (place.root / "done" / "orphan").exists()
