"""Stands in for accelerate's launcher, which loads torch: same command line, parentage and complaint."""

import subprocess
import sys

arguments = sys.argv[sys.argv.index("--module") + 1 :]
trainer = subprocess.Popen([sys.executable, "-m", *arguments])
trainer.wait()
if trainer.returncode:
    raise subprocess.CalledProcessError(returncode=trainer.returncode, cmd=arguments)
