from pathlib import Path

from support.entry_points import run_script

RESULTS = """experiment,stage,task,variant,split,n,accuracy,ci_low,ci_high,unreadable,failed
base,base,futurebench,reason,hop1,50,24.00,12.00,36.00,0,0
base,base,futurebench,reason,overall,240,25.40,20.10,31.20,0,0
base,base,futurebench,reason_legacy,overall,240,30.00,24.00,36.00,0,0
nep,sft,futurebench,reason,hop1,50,74.00,60.00,85.00,0,0
nep,sft,futurebench,reason,overall,240,72.08,66.00,77.50,0,0
nep,sft,futurebench,reason_shuffled_frames,overall,240,27.08,22.00,33.00,0,0
nep,grpo,futurebench,reason,overall,240,81.25,76.00,86.00,0,0
"""

EXPECTED = """FutureBench, answers 'reason': accuracy in percent
  model     Overall (n=240)  1 hop (n=50)  95 % interval
  --------  ---------------  ------------  -------------
  Base                 25.4          24.0      20.1-31.2
  nep SFT              72.1          74.0      66.0-77.5
  nep GRPO             81.2                    76.0-86.0

FutureBench, controls, overall: frames in order beside changed frames
  model     reason  reason_shuffled_frames
  --------  ------  ----------------------
  Base        25.4
  nep SFT     72.1                    27.1
  nep GRPO    81.2
"""


def test_table_and_path_of_the_report(tmp_path: Path) -> None:
    results = tmp_path / "results.csv"
    results.write_text(RESULTS)
    printed = run_script("print_results.py", results)
    assert printed.stdout == f"{EXPECTED}\nreport: {tmp_path / 'index.html'}\n"


def test_results_missing_or_of_another_form(tmp_path: Path) -> None:
    missing = run_script("print_results.py", tmp_path / "results.csv")
    assert missing.returncode == 2 and "results.csv: no such file" in missing.stderr
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    other = run_script("print_results.py", tmp_path / "results.csv")
    assert other.returncode == 2 and "expected the columns experiment,stage" in other.stderr
    config = tmp_path / "config.yaml"
    config.write_text("run: absent-run\n")
    absent = run_script("print_results.py", "--config", config)
    assert absent.returncode == 2 and "results/absent-run/report/results.csv" in absent.stderr
