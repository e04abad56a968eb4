"""All benchmarks, in the order in which they are shown."""

from nep.benchmarks import longvideobench_val_v, mvbench, tempcompass, temporalbench, videomme

# Asked as multiple-choice tasks of ours: their questions are the convert stage's.
FUTUREBENCH = "futurebench"
SEEDBENCH = ("seedbench_r1_l1", "seedbench_r1_l2", "seedbench_r1_l3")
OWN = (FUTUREBENCH, *SEEDBENCH)

# lmms-eval's own, by name.
LMMS_EVAL = {
    module.BENCHMARK.name: module.BENCHMARK
    for module in (videomme, mvbench, longvideobench_val_v, tempcompass, temporalbench)
}
NAMES = (*OWN, *LMMS_EVAL)
