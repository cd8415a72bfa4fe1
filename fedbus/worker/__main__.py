"""`python -m fedbus.worker [DATA_DIR]`: the daemon alone, set up by FEDBUS_* in the environment."""

import sys

from fedbus import config
from fedbus.worker import daemon

sys.exit(config.main("worker", daemon.run))
