# Runs Jasmin's daemon with a lock in the current folder: its own stands in one place for the whole machine.
#
#   python jasmind.py .../bin/jasmind.py OPTIONS...
import runpy
import sys

import lockfile

real = lockfile.FileLock
lockfile.FileLock = lambda path: real('jasmind')
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
