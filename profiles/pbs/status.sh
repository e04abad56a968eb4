#!/bin/sh
# What Snakemake asks of a PBS job: running, success or failed.
qstat -x -f "$1" | awk '
  $1 == "job_state" { state = $3 }
  $1 == "Exit_status" { status = $3 }
  END { print (state != "F" ? "running" : status == "0" ? "success" : "failed") }'
